"""The sites of a model as parts of one draw on unconstrained space."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.util import sum_rightmost

from ppl_ext.amortization.layout import FlatSite, RowLayout
from ppl_ext.numpyro.amortized.framed_flows import RowFlow
from ppl_ext.numpyro.amortized.gaussians import Gaussian
from ppl_ext.numpyro.amortized.rows import Trace
from ppl_ext.numpyro.guides.mean_field import is_identity

__all__ = [
    "constrain",
    "emit_sites",
    "shared_parameters",
    "split_local",
    "split_shared",
    "split_sites",
]


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
    q: Gaussian | RowFlow,
    split: Callable[[jax.Array], dict[str, jax.Array]],
    trace: Trace,
    plates: Mapping[str, Any],
    around: str | None = None,
) -> dict[str, jax.Array]:
    """Draw every site, inside of its plates.

    Independent coordinates are drawn site by site, on real supports by a bare ``Normal``, whose
    divergence from a normal prior the host's ``TraceMeanField_ELBO`` finds in closed form.

    Args:
        name: Of the auxiliary site of coordinates that are drawn all at once.
        sites: The sites.
        q: Of their coordinates, ``[..., dim]``.
        split: Gives every site its part of these coordinates.
        trace: A run of the model, which knows their supports.
        plates: The plates around them, not entered yet.
        around: The plate in which the coordinates lie.
    """
    independent = isinstance(q, Gaussian) and q.mean_field
    if independent:
        locs, scales = split(q.loc), split(q.scale)
    else:
        with nullcontext() if around is None else plates[around]:
            z = numpyro.sample(name, q.distribution, infer={"is_auxiliary": True})
        parts = split(z)
    values = {}
    for site in sites:
        transform = biject_to(trace[site.name]["fn"].support)
        if independent:
            normal = dist.Normal(locs[site.name], scales[site.name])
            fn = normal.to_event(site.unconstrained_event_dim)
            if not is_identity(transform):
                fn = dist.TransformedDistribution(fn, transform)
        else:
            fn = _make_point(site, transform, parts[site.name])
        with ExitStack() as stack:
            for each in site.plates:
                stack.enter_context(plates[each])
            values[site.name] = numpyro.sample(site.name, fn)
    return values


def split_shared(layout: RowLayout, z: jax.Array) -> dict[str, jax.Array]:
    """Unconstrained values of the shared sites, of coordinates ``[..., dim]``."""
    return {site.name: _part(site, z) for site in layout.shared}


def split_local(layout: RowLayout, z: jax.Array) -> dict[str, jax.Array]:
    """Unconstrained values of the local sites, of a draw in a guide.

    Args:
        layout: The sites.
        z: Their coordinates, ``[..., dim]``, the rows where their plate has its dimension.
    """
    batch = z.shape[:-1]
    outside, values = batch[: len(batch) + layout.dim], {}
    for site in layout.local:
        # What stands left of the rows is of length 1 where the site has plates of its own.
        outer = outside[: max(0, len(outside) - site.count_left(layout.dim))]
        flat = z.reshape((*outer, batch[layout.dim], z.shape[-1]))
        values[site.name] = _row_part(site, flat, layout.dim)
    return values


def split_sites(layout: RowLayout, shared: jax.Array | None, z: jax.Array) -> dict[str, jax.Array]:
    """Unconstrained values of all sites.

    Args:
        layout: The sites.
        shared: Coordinates of the shared ones, ``[..., dim]``; None where there are none.
        z: Coordinates of the local ones, ``[..., row, dim]``.
    """
    local = {site.name: _row_part(site, z, layout.dim) for site in layout.local}
    return {site.name: _part(site, shared) for site in layout.shared} | local


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
    parts = split_sites(layout, shared, z)
    return {name: biject_to(trace[name]["fn"].support)(part) for name, part in parts.items()}


def _part(site: FlatSite, z: jax.Array) -> jax.Array:
    return z[..., site.start : site.stop].reshape(*z.shape[:-1], *site.shape)


def _row_part(site: FlatSite, z: jax.Array, row_dim: int) -> jax.Array:
    """Values from ``z[..., row, dim]``, the rows put where their plate has its dimension."""
    part, outer = _part(site, z), z.ndim - 2
    return jnp.moveaxis(part, outer, outer + site.count_left(row_dim))


def _make_point(site: FlatSite, transform: Any, part: jax.Array) -> dist.Delta:
    """The value of an unconstrained part, with the Jacobian."""
    value = transform(part)
    log_density = -transform.log_abs_det_jacobian(part, value)
    more = jnp.ndim(log_density) - (value.ndim - site.event_dim)
    return dist.Delta(value, sum_rightmost(log_density, more), event_dim=site.event_dim)
