"""The Gumbel distribution, exact in both of its tails."""

import math

import torch
from pyro.distributions import TorchDistribution
from torch.distributions import constraints, register_kl
from torch.distributions.utils import broadcast_all

from ppl_ext.pyro.gumbel import standard_gumbel
from ppl_ext.pyro.gumbel.arguments import widen
from ppl_ext.pyro.gumbel.noise import gumbel_noise

__all__ = ["Gumbel"]

EULER = 0.5772156649015329


class Gumbel(TorchDistribution):
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
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        """Return the same distribution over a larger batch."""
        new = self._get_checked_instance(Gumbel, _instance)
        new.loc, new.scale = self.loc.expand(batch_shape), self.scale.expand(batch_shape)
        super(Gumbel, new).__init__(torch.Size(batch_shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape=()):
        """Draw with gradients to ``loc`` and ``scale``."""
        wide = widen(self.loc).dtype
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = gumbel_noise(shape, dtype=wide, device=self.loc.device)
        return self._narrow(self.loc + self.scale * noise)

    def log_prob(self, value):
        """Return the log-density at a value."""
        z = self._standardize(value)
        return self._narrow(-(z + torch.exp(-z)) - widen(self.scale).log())

    def cdf(self, value):
        """Return the probability of at most this value."""
        return self._narrow(standard_gumbel.cdf(self._standardize(value)))

    def log_cdf(self, value):
        """Return the log-probability of at most this value."""
        return self._narrow(-torch.exp(-self._standardize(value)))

    def sf(self, value):
        """Return the probability of more than this value."""
        return self._narrow(standard_gumbel.sf(self._standardize(value)))

    def log_sf(self, value):
        """Return the log-probability of more than this value."""
        return self._narrow(standard_gumbel.log_sf(self._standardize(value)))

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
        return self.scale.log() + (1 + EULER)

    @property
    def mean(self):
        """The mean ``loc + 0.5772... scale``."""
        return self.loc + EULER * self.scale

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
        if self._validate_args:
            self._validate_sample(value)
        return (widen(value) - widen(self.loc)) / widen(self.scale)

    def _place(self, quantile, value):
        value = widen(torch.as_tensor(value, device=self.loc.device))
        return self._narrow(self.loc + self.scale * quantile(value))

    def _narrow(self, result):
        return result.to(torch.result_type(self.loc, self.scale))


@register_kl(Gumbel, Gumbel)
def _kl_gumbel(p, q):
    ratio = p.scale / q.scale
    shift = (q.loc - p.loc) / q.scale
    # Near q = p every term is small, so that their sum keeps its digits.
    return torch.expm1(shift + torch.lgamma(1 + ratio)) - shift + EULER * (ratio - 1) - ratio.log()
