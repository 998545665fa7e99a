"""The value of a site whose coordinates a guide has drawn elsewhere, with its Jacobian."""

import pyro.distributions as dist
import torch
from torch.distributions import register_kl

__all__ = ["Point"]


class Point(dist.Delta):
    """The host's ``Delta``, of whose divergence its log density is a part.

    The host leaves it out, so that its ``TraceMeanField_ELBO`` would be off by the Jacobian of
    every constrained site (Pyro 1.9.2, `findings/pyro_kl_forgets_the_jacobian.sh`).
    """


@register_kl(Point, dist.Distribution)
def _diverge(point: Point, other: dist.Distribution) -> torch.Tensor:
    return point.log_density - other.log_prob(point.v)
