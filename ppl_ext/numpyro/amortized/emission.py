"""The sites of a model as parts of one draw from a Gaussian on unconstrained space."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.util import sum_rightmost

from ppl_ext.amortization.layout import FlatSite, RowLayout
from ppl_ext.numpyro.amortized.gaussians import Gaussian
from ppl_ext.numpyro.amortized.rows import Trace

__all__ = ["constrain", "emit_sites", "sample_flat", "shared_parameters"]


def shared_parameters(
    prefix: str, dim: int, family: str, init_scale: float
) -> dict[str, jax.Array]:
    """Mean and scale of the Gaussian of shared sites, as parameters of the host."""
    start, constraint = jnp.full(dim, init_scale), constraints.softplus_positive
    if family == "full_rank":
        start, constraint = jnp.diag(start), constraints.scaled_unit_lower_cholesky
    loc, scale = f"{prefix}_shared_loc", f"{prefix}_shared_scale"
    return {
        loc: numpyro.param(loc, jnp.zeros(dim)),
        scale: numpyro.param(scale, start, constraint=constraint),
    }


def sample_flat(name: str, gaussian: Gaussian) -> jax.Array:
    """Draw the coordinates of several sites at once."""
    return numpyro.sample(name, gaussian.distribution, infer={"is_auxiliary": True})


def emit_sites(
    sites: tuple[FlatSite, ...], z: jax.Array, trace: Trace, plates: Mapping[str, Any]
) -> dict[str, jax.Array]:
    """Give every site its part of z, inside of its plates.

    Args:
        sites: The sites.
        z: Their coordinates, ``[..., dim]``.
        trace: A run of the model, which knows their supports.
        plates: The plates around them, not entered yet.
    """
    values = {}
    for site in sites:
        part, transform = _part(site, z), biject_to(trace[site.name]["fn"].support)
        value = transform(part)
        log_density = -transform.log_abs_det_jacobian(part, value)
        more = jnp.ndim(log_density) - (value.ndim - site.event_dim)
        delta = dist.Delta(value, sum_rightmost(log_density, more), event_dim=site.event_dim)
        with ExitStack() as stack:
            for name in site.plates:
                stack.enter_context(plates[name])
            values[site.name] = numpyro.sample(site.name, delta)
    return values


def constrain(
    layout: RowLayout, shared: jax.Array | None, z: jax.Array, trace: Trace
) -> dict[str, jax.Array]:
    """Values of all sites.

    Args:
        layout: The sites.
        shared: Coordinates of the shared ones, ``[..., dim]``; None where there are none.
        z: Coordinates of the local ones, ``[..., row, dim]``.
        trace: A run of the model with all rows, which knows the supports.
    """
    # The rows stand where their plate has its dimension.
    z = z.reshape(*z.shape[:-1], *[1] * (-1 - layout.dim), z.shape[-1])
    return {
        site.name: biject_to(trace[site.name]["fn"].support)(_part(site, flat))
        for sites, flat in ((layout.shared, shared), (layout.local, z))
        for site in sites
    }


def _part(site: FlatSite, z: jax.Array) -> jax.Array:
    return z[..., site.start : site.stop].reshape(*z.shape[:-1], *site.shape)
