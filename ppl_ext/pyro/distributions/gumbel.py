"""The Gumbel distribution, exact in both of its tails."""

import math

import numpy as np
import torch
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all

from ppl_ext.pyro.distributions.mixed_precision import (
    AbstractMixedPrecision,
    register_divergence,
)
from ppl_ext.pyro.gumbel import standard_gumbel
from ppl_ext.pyro.gumbel.noise import gumbel_noise

__all__ = ["Gumbel"]


class Gumbel(AbstractMixedPrecision):
    r"""The Gumbel distribution (of maxima), accurate and complete in both tails.

    .. math:: F(x) = \exp\left(-e^{-z}\right), \quad z = (x - \text{loc}) / \text{scale}

    Samples reach as far as their probability says, and the distribution function, the survival
    function, their logarithms and all inverses keep their relative accuracy. Half precision is
    computed in float32 and cast.

    Args:
        loc: Location: the mode. Shape ``(*batch,)``.
        scale: Scale, positive; the variance is ``pi^2 scale^2 / 6``. Shape ``(*batch,)``.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: The scale is not positive, or an argument is NaN.

    Example:
        >>> import torch
        >>> gumbel = Gumbel(torch.tensor(0.0), torch.tensor(1.0))
        >>> round(float(gumbel.log_sf(torch.tensor(40.0))), 4)
        -40.0
        >>> round(float(gumbel.isf(torch.tensor(1e-30))), 4)
        69.0776

    References:
        Gumbel (1958), Statistics of Extremes, Columbia University Press.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.real
    has_rsample = True

    def __init__(
        self,
        loc: torch.Tensor | float = 0.0,
        scale: torch.Tensor | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        loc, scale = broadcast_all(loc, scale)
        dtype = torch.result_type(loc, scale)
        self.loc, self.scale = loc.to(dtype), scale.to(dtype)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def rsample(self, sample_shape=()):
        """Draw with gradients to ``loc`` and ``scale``."""
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = gumbel_noise(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.scale * noise

    def log_prob(self, value):
        """Return the log-density at a value."""
        z = self._standardize(value)
        return -(z + torch.exp(-z)) - self.scale.log()

    def cdf(self, value):
        """Return the probability of at most this value."""
        return standard_gumbel.cdf(self._standardize(value))

    def log_cdf(self, value):
        """Return the log-probability of at most this value."""
        return -torch.exp(-self._standardize(value))

    def sf(self, value):
        """Return the probability of more than this value."""
        return standard_gumbel.sf(self._standardize(value))

    def log_sf(self, value):
        """Return the log-probability of more than this value."""
        return standard_gumbel.log_sf(self._standardize(value))

    def icdf(self, value):
        """Return the point below which this probability lies."""
        return self._place(standard_gumbel.quantile, value)

    def isf(self, value):
        """Return the point above which this probability lies."""
        return self._place(standard_gumbel.upper_quantile, value)

    def icdf_from_log_cdf(self, value):
        """Return the point at which ``log_cdf`` has this value."""
        return self._place(standard_gumbel.quantile_of_log_cdf, value)

    def icdf_from_log_sf(self, value):
        """Return the point at which ``log_sf`` has this value."""
        return self._place(standard_gumbel.quantile_of_log_sf, value)

    def entropy(self):
        """Return the entropy ``log(scale) + 1 + 0.5772...``."""
        return self.scale.log() + (1 + np.euler_gamma)

    @property
    def mean(self):
        """The mean ``loc + 0.5772... scale``."""
        return self.loc + np.euler_gamma * self.scale

    @property
    def variance(self):
        """The variance ``pi^2 scale^2 / 6``."""
        return (math.pi**2 / 6) * self.scale**2

    @property
    def mode(self):
        """The mode, ``loc``."""
        return self.loc

    @property
    def median(self):
        """The median ``loc - scale log(log 2)``."""
        return self.loc - self.scale * math.log(math.log(2))

    def _standardize(self, value):
        return (value - self.loc) / self.scale

    def _place(self, quantile, value):
        value = torch.as_tensor(value, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.scale * quantile(value)


@register_divergence(Gumbel)
def _kl_gumbel(p, q):
    ratio = p.scale / q.scale
    shift = (q.loc - p.loc) / q.scale
    # Near q = p every term is small, so that their sum keeps its digits.
    return (
        torch.expm1(shift + torch.lgamma(1 + ratio))
        - shift
        + np.euler_gamma * (ratio - 1)
        - ratio.log()
    )
