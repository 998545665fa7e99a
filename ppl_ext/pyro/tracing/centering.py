"""Location-scale sites in coordinates between centred and non-centred.

The hosts' ``LocScaleReparam`` puts an auxiliary site in the place of the user's. The same change
of variables stands here in the bijection of the site's support, so that the site, its plates and
its values stay what they are, and whoever asks ``biject_to`` follows.
"""

from collections.abc import Mapping
from typing import Any

import pyro
import torch
from pyro.distributions import LogNormal
from pyro.poutine.messenger import Messenger
from torch.distributions import (
    AffineTransform,
    ComposeTransform,
    Distribution,
    Transform,
    biject_to,
    constraints,
)

from ppl_ext.gaussian_vi.location_scale import PartialCentering
from ppl_ext.pyro.tracing.run_at_point import without_wrappers

__all__ = ["Centering", "location_and_scale"]


class Centering(Messenger):
    r"""A handler for models whose location-scale sites have other unconstrained coordinates.

    .. math:: x = l + (s / u)^{1 - \lambda} (z - \lambda l)

    for a site with location :math:`l` and scale :math:`s`: as it is written at
    :math:`\lambda = 1`, non-centred at 0. For ``LogNormal`` the same holds of :math:`\log x`.

    Args:
        sites: Degree :math:`\lambda` in [0, 1] and unit :math:`u`, one for every entry of a site.

    References:
        Gorinova, Moore, Hoffman (2020), Automatic reparameterisation of probabilistic programs,
        ICML.
    """

    def __init__(self, sites: Mapping[str, PartialCentering]) -> None:
        super().__init__()
        self.sites = dict(sites)

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["name"] in self.sites and not msg["is_observed"]:
            msg["fn"] = _Centred(msg["fn"], self.sites[msg["name"]])


def location_and_scale(fn: Distribution) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Location and scale of every entry of a value, None where the distribution has none.

    Args:
        fn: Distribution of a site, as its plates expand it.

    Returns:
        Two tensors of the shape of a value; those of the logarithm for ``LogNormal``.
    """
    base = without_wrappers(fn)
    arguments = base.arg_constraints
    if base.event_dim or "loc" not in arguments or "scale" not in arguments:
        return None
    if not isinstance(base, LogNormal) and base.support is not constraints.real:
        return None
    shape = fn.shape()
    return torch.broadcast_to(base.loc, shape), torch.broadcast_to(base.scale, shape)


class _Centred(pyro.distributions.Independent):
    """A location-scale distribution whose support knows the other coordinates."""

    def __init__(self, fn: Distribution, centering: PartialCentering) -> None:
        super().__init__(fn, 0)
        self.centering = centering

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "_Centred":
        return _Centred(self.base_dist.expand(batch_shape), self.centering)

    @property
    def support(self) -> constraints.Constraint:
        fn = self.base_dist
        loc, scale = location_and_scale(fn)
        degree, unit = (
            torch.as_tensor(part).to(loc).reshape(fn.shape()) for part in self.centering
        )
        ratio = torch.exp((1 - degree) * torch.log(scale / unit))
        shifted = _Shifted(loc * (1 - degree * ratio), ratio, without_wrappers(fn).support)
        return constraints.independent(shifted, fn.event_dim) if fn.event_dim else shifted


class _Shifted(constraints.Constraint):
    """The same set, with a shift and a ratio ahead of its bijection."""

    def __init__(
        self, offset: torch.Tensor, ratio: torch.Tensor, inner: constraints.Constraint
    ) -> None:
        self.offset, self.ratio, self.inner = offset, ratio, inner
        super().__init__()

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return self.inner.check(value)


@biject_to.register(_Shifted)
def _transform_to_shifted(constraint: _Shifted) -> Transform:
    shift = AffineTransform(constraint.offset, constraint.ratio)
    if constraint.inner is constraints.real:
        return shift
    return ComposeTransform([shift, biject_to(constraint.inner)])
