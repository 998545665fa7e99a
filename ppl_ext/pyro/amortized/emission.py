"""The sites of a model as parts of one draw from a Gaussian on unconstrained space."""

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.distributions.util import sum_rightmost
from pyro.nn import PyroParam

from ppl_ext.amortization.layout import FlatSite, RowLayout
from ppl_ext.pyro.amortized.gaussians import Gaussian
from ppl_ext.pyro.amortized.rows import Sites
from ppl_ext.pyro.tracing.run_at_point import bijection_of, is_real, support_of

__all__ = ["constrain", "emit_sites", "shared_parameters"]


def shared_parameters(dim: int, family: str, init_scale: float) -> tuple[PyroParam, PyroParam]:
    """Mean and scale of the Gaussian of shared sites, as parameters of a module."""
    start, constraint = torch.full((dim,), init_scale), constraints.softplus_positive
    if family == "full_rank":
        start, constraint = torch.diag(start), constraints.softplus_lower_cholesky
    return PyroParam(torch.zeros(dim)), PyroParam(start, constraint)


def emit_sites(
    name: str,
    sites: tuple[FlatSite, ...],
    gaussian: Gaussian,
    messages: Sites,
    plates: Mapping[str, pyro.plate],
    around: str | None = None,
) -> dict[str, torch.Tensor]:
    """Give every site its part of a draw, inside of its plates.

    Independent coordinates are drawn site by site, on real supports by a bare ``Normal``, whose
    divergence from a normal prior the host's ``TraceMeanField_ELBO`` finds in closed form.

    Args:
        name: Of the auxiliary site of coordinates that are drawn all at once.
        sites: The sites, all local or all shared.
        gaussian: Of their coordinates, ``[..., dim]``.
        messages: A run of the model, which knows their supports.
        plates: The plates around them, not entered yet.
        around: The plate in which the coordinates lie.
    """
    if not gaussian.independent:
        with nullcontext() if around is None else plates[around]:
            z = pyro.sample(name, gaussian.distribution, infer={"is_auxiliary": True})
    values = {}
    for site in sites:
        transform = bijection_of(messages[site.name])
        if gaussian.independent:
            normal = dist.Normal(_part(site, gaussian.loc), _part(site, gaussian.scale))
            fn = normal.to_event(site.unconstrained_event_dim)
            if not is_real(support_of(messages[site.name])):
                # Its own inverse would lose digits, and all of them at the edge of a support.
                fn = dist.TransformedDistribution(fn, transform.with_cache())
        else:
            part = _part(site, z)
            value = transform(part)
            jacobian = transform.log_abs_det_jacobian(part, value)
            more = jacobian.dim() - (value.dim() - site.event_dim)
            fn = dist.Delta(value, -sum_rightmost(jacobian, more), event_dim=site.event_dim)
        with ExitStack() as stack:
            for each in site.plates:
                stack.enter_context(plates[each])
            values[site.name] = pyro.sample(site.name, fn)
    return values


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
    # The rows stand where their plate has its dimension.
    z = z.reshape(*z.shape[:-1], *[1] * (-1 - layout.dim), z.shape[-1])
    values = {}
    for sites, flat in ((layout.shared, shared), (layout.local, z)):
        for site in sites:
            part = flat[..., site.start : site.stop].reshape((*flat.shape[:-1], *site.shape))
            values[site.name] = bijection_of(messages[site.name])(part)
    return values


def _part(site: FlatSite, z: torch.Tensor) -> torch.Tensor:
    # Plates outside of the guide, such as vectorised particles, stand to the left.
    outer = z.shape[:-1] + (1,) * site.unconstrained_event_dim
    part = z[..., site.start : site.stop]
    return part.reshape(torch.broadcast_shapes(outer, site.shape))
