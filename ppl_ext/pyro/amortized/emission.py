"""The sites of a model as parts of one draw on unconstrained space."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.distributions.util import sum_rightmost
from pyro.nn import PyroParam

from ppl_ext.amortization.layout import FlatSite, RowLayout
from ppl_ext.pyro.amortized.framed_flows import RowFlow
from ppl_ext.pyro.amortized.gaussians import Gaussian
from ppl_ext.pyro.amortized.rows import Sites
from ppl_ext.pyro.guides.point import Point
from ppl_ext.pyro.tracing.run_at_point import bijection_of, is_real, support_of

__all__ = [
    "constrain",
    "emit_sites",
    "shared_parameters",
    "split_local",
    "split_shared",
    "split_sites",
]


def shared_parameters(dim: int, family: str, init_scale: float) -> tuple[PyroParam, PyroParam]:
    """Mean and scale of the Gaussian of shared sites, as parameters of a module."""
    start, constraint = torch.full((dim,), init_scale), constraints.softplus_positive
    if family == "full_rank":
        start, constraint = torch.diag(start), constraints.softplus_lower_cholesky
    return PyroParam(torch.zeros(dim)), PyroParam(start, constraint)


def emit_sites(
    name: str,
    sites: tuple[FlatSite, ...],
    q: Gaussian | RowFlow,
    split: Callable[[torch.Tensor], dict[str, torch.Tensor]],
    messages: Sites,
    plates: Mapping[str, pyro.plate],
    around: str | None = None,
) -> dict[str, torch.Tensor]:
    """Draw every site, inside of its plates.

    Independent coordinates are drawn site by site, on real supports by a bare ``Normal``, whose
    divergence from a normal prior the host's ``TraceMeanField_ELBO`` finds in closed form.

    Args:
        name: Of the auxiliary site of coordinates that are drawn all at once.
        sites: The sites.
        q: Of their coordinates, ``[..., dim]``.
        split: Gives every site its part of these coordinates.
        messages: A run of the model, which knows their supports.
        plates: The plates around them, not entered yet.
        around: The plate in which the coordinates lie.
    """
    independent = isinstance(q, Gaussian) and q.mean_field
    if independent:
        locs, scales = split(q.loc), split(q.scale)
    else:
        with nullcontext() if around is None else plates[around]:
            z = pyro.sample(name, q.distribution, infer={"is_auxiliary": True})
        parts = split(z)
    values = {}
    for site in sites:
        transform = bijection_of(messages[site.name])
        if independent:
            normal = dist.Normal(locs[site.name], scales[site.name])
            fn = normal.to_event(site.unconstrained_event_dim)
            if not is_real(support_of(messages[site.name])):
                # Its own inverse would lose digits, and all of them at the edge of a support.
                fn = dist.TransformedDistribution(fn, transform.with_cache())
        else:
            fn = _make_point(site, transform, parts[site.name])
        with ExitStack() as stack:
            for each in site.plates:
                stack.enter_context(plates[each])
            values[site.name] = pyro.sample(site.name, fn)
    return values


def split_shared(layout: RowLayout, z: torch.Tensor) -> dict[str, torch.Tensor]:
    """Unconstrained values of the shared sites, of a draw ``[..., dim]`` in a guide."""
    values = {}
    for site in layout.shared:
        part = z[..., site.start : site.stop]
        # Plates outside of the guide, such as vectorised particles, stand to the left.
        outer = part.shape[:-1] + (1,) * site.unconstrained_event_dim
        values[site.name] = part.reshape(torch.broadcast_shapes(outer, site.shape))
    return values


def split_local(layout: RowLayout, z: torch.Tensor) -> dict[str, torch.Tensor]:
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


def split_sites(
    layout: RowLayout, shared: torch.Tensor | None, z: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Unconstrained values of all sites.

    Args:
        layout: The sites.
        shared: Coordinates of the shared ones, ``[..., dim]``; None where there are none.
        z: Coordinates of the local ones, ``[..., row, dim]``.
    """
    local = {site.name: _row_part(site, z, layout.dim) for site in layout.local}
    return {site.name: _part(site, shared) for site in layout.shared} | local


def constrain(
    layout: RowLayout, shared: torch.Tensor | None, z: torch.Tensor, messages: Sites
) -> dict[str, torch.Tensor]:
    """Values of all sites.

    Args:
        layout: The sites.
        shared: Coordinates of the shared ones, ``[..., dim]``; None where there are none.
        z: Coordinates of the local ones, ``[..., row, dim]``.
        messages: A run of the model with all rows, which knows the supports.
    """
    parts = split_sites(layout, shared, z)
    return {name: bijection_of(messages[name])(part) for name, part in parts.items()}


def _part(site: FlatSite, z: torch.Tensor) -> torch.Tensor:
    return z[..., site.start : site.stop].reshape((*z.shape[:-1], *site.shape))


def _row_part(site: FlatSite, z: torch.Tensor, row_dim: int) -> torch.Tensor:
    """Values from ``z[..., row, dim]``, the rows put where their plate has its dimension."""
    part, outer = _part(site, z), z.dim() - 2
    return part.movedim(outer, outer + site.count_left(row_dim))


def _make_point(
    site: FlatSite, transform: torch.distributions.Transform, part: torch.Tensor
) -> Point:
    """The value of an unconstrained part, with the Jacobian."""
    value = transform(part)
    jacobian = transform.log_abs_det_jacobian(part, value)
    more = jacobian.dim() - (value.dim() - site.event_dim)
    return Point(value, -sum_rightmost(jacobian, more), event_dim=site.event_dim)
