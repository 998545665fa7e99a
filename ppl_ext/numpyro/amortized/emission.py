"""The sites of a model as parts of one draw from a Gaussian on unconstrained space."""

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
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
from ppl_ext.numpyro.guides.mean_field import is_identity

__all__ = ["constrain", "emit_sites", "shared_parameters"]


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


def emit_sites(
    name: str,
    sites: tuple[FlatSite, ...],
    gaussian: Gaussian,
    trace: Trace,
    plates: Mapping[str, Any],
    around: str | None = None,
) -> dict[str, jax.Array]:
    """Give every site its part of a draw, inside of its plates.

    Independent coordinates are drawn site by site, on real supports by a bare ``Normal``, whose
    divergence from a normal prior the host's ``TraceMeanField_ELBO`` finds in closed form.

    Args:
        name: Of the auxiliary site of coordinates that are drawn all at once.
        sites: The sites.
        gaussian: Of their coordinates, ``[..., dim]``.
        trace: A run of the model, which knows their supports.
        plates: The plates around them, not entered yet.
        around: The plate in which the coordinates lie.
    """
    if not gaussian.independent:
        with nullcontext() if around is None else plates[around]:
            z = numpyro.sample(name, gaussian.distribution, infer={"is_auxiliary": True})
    values = {}
    for site in sites:
        transform = biject_to(trace[site.name]["fn"].support)
        if gaussian.independent:
            normal = dist.Normal(_part(site, gaussian.loc), _part(site, gaussian.scale))
            fn = normal.to_event(site.unconstrained_event_dim)
            if not is_identity(transform):
                fn = dist.TransformedDistribution(fn, transform)
        else:
            part = _part(site, z)
            value = transform(part)
            log_density = -transform.log_abs_det_jacobian(part, value)
            more = jnp.ndim(log_density) - (value.ndim - site.event_dim)
            fn = dist.Delta(value, sum_rightmost(log_density, more), event_dim=site.event_dim)
        with ExitStack() as stack:
            for each in site.plates:
                stack.enter_context(plates[each])
            values[site.name] = numpyro.sample(site.name, fn)
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
