"""The Gumbel distribution cut off above, below, or on both sides."""

import torch
from pyro.distributions import TorchDistribution
from torch.distributions import biject_to, constraints, transform_to
from torch.distributions.utils import broadcast_all

from ppl_ext.pyro.gumbel.arguments import checking, refuse, widen
from ppl_ext.pyro.gumbel.noise import signed_uniform
from ppl_ext.pyro.gumbel.standard_truncated_gumbel import Cut, log_rest

__all__ = ["TruncatedGumbel"]


class TruncatedGumbel(TorchDistribution):
    r"""The Gumbel distribution between two ends, accurate however far they lie in the tails.

    .. math:: e^{-z} - e^{-b} \sim \mathrm{Exp}(1) \text{ below } e^{-a} - e^{-b}, \quad
        z = (x - \text{loc}) / \text{scale}

    The ends ``a < z < b`` are ``lower`` and ``upper`` standardised. Perturbed logits below a known
    maximum are of this kind. Where neither end is wanted, use ``Gumbel``.

    Args:
        loc: Location: the mode, were there no ends. Shape ``(*batch,)``.
        scale: Scale, positive. Shape ``(*batch,)``.
        upper: Upper end, finite. Shape ``(*batch,)``; None where there is none.
        lower: Lower end, finite and below ``upper``. Shape ``(*batch,)``; None where there is
            none.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: The scale is not positive, an end is not finite, the ends are not in order, or
            an argument is NaN.

    Example:
        >>> import torch
        >>> cut = TruncatedGumbel(torch.tensor(0.0), torch.tensor(1.0), upper=torch.tensor(-3.0))
        >>> bool((cut.sample((1000,)) <= -3.0).all()), round(float(cut.mean), 4)
        (True, -3.0475)

    References:
        Maddison, Tarlow, Minka (2014), A* Sampling, NeurIPS, arXiv:1411.0030.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    has_rsample = True

    def __init__(
        self,
        loc: torch.Tensor | float = 0.0,
        scale: torch.Tensor | float = 1.0,
        upper: torch.Tensor | float | None = None,
        lower: torch.Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        ends = [end for end in (upper, lower) if end is not None]
        self.loc, self.scale, *ends = broadcast_all(loc, scale, *ends)
        self.upper = None if upper is None else ends[0]
        self.lower = None if lower is None else ends[-1]
        if checking(validate_args):
            self._check_ends()
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        """Return the same distribution over a larger batch."""
        new = self._get_checked_instance(TruncatedGumbel, _instance)
        for name in ("loc", "scale", "upper", "lower"):
            given = getattr(self, name)
            setattr(new, name, None if given is None else given.expand(batch_shape))
        super(TruncatedGumbel, new).__init__(torch.Size(batch_shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        """The numbers between the ends."""
        if self.upper is not None and self.lower is not None:
            return constraints.interval(self.lower, self.upper)
        if self.upper is not None:
            return _AtMost(self.upper)
        return constraints.real if self.lower is None else constraints.greater_than_eq(self.lower)

    def rsample(self, sample_shape=()):
        """Draw with gradients to all parameters."""
        shape = self._extended_shape(torch.Size(sample_shape))
        uniform = signed_uniform(shape, widen(self.loc).dtype, self.loc.device)
        near, rest = uniform.abs().log(), torch.log1p(-uniform.abs())
        below = uniform > 0
        return self._place(torch.where(below, near, rest), torch.where(below, rest, near))

    def log_prob(self, value):
        """Return the log-density at a value; ``-inf`` beyond the ends."""
        if self._validate_args:
            self._validate_sample(value)
        return self._narrow(self._cut.log_density(widen(value)))

    def cdf(self, value):
        """Return the probability of at most this value."""
        return self._narrow(self._cut.log_cdf(self._read(value)).exp())

    def log_cdf(self, value):
        """Return the log-probability of at most this value."""
        return self._narrow(self._cut.log_cdf(self._read(value)))

    def sf(self, value):
        """Return the probability of more than this value."""
        return self._narrow(self._cut.log_sf(self._read(value)).exp())

    def log_sf(self, value):
        """Return the log-probability of more than this value."""
        return self._narrow(self._cut.log_sf(self._read(value)))

    def icdf(self, value):
        """Return the point below which this probability lies."""
        p = self._read(value)
        return self._place(p.log(), torch.log1p(-p))

    def isf(self, value):
        """Return the point above which this probability lies."""
        q = self._read(value)
        return self._place(torch.log1p(-q), q.log())

    def icdf_from_log_cdf(self, value):
        """Return the point at which ``log_cdf`` has this value."""
        log_p = self._read(value)
        return self._place(log_p, log_rest(-log_p))

    def icdf_from_log_sf(self, value):
        """Return the point at which ``log_sf`` has this value."""
        log_q = self._read(value)
        return self._place(log_rest(-log_q), log_q)

    def entropy(self):
        """Return the entropy, by quadrature."""
        return self._narrow(self._cut.entropy())

    @property
    def mean(self):
        """The mean, by quadrature."""
        return self._narrow(self._cut.moments()[0])

    @property
    def variance(self):
        """The variance, by quadrature."""
        return self._narrow(self._cut.moments()[1])

    @property
    def mode(self):
        """The mode: ``loc``, or the end that is nearest to it."""
        return torch.clamp(self.loc, self.lower, self.upper) if self._is_cut else self.loc

    @property
    def median(self):
        """The median."""
        return self.icdf(0.5)

    @property
    def _is_cut(self):
        return self.upper is not None or self.lower is not None

    @property
    def _cut(self):
        given = (self.loc, self.scale, self.upper, self.lower)
        return Cut(*(each if each is None else widen(each) for each in given))

    def _read(self, value):
        return widen(torch.as_tensor(value, device=self.loc.device))

    def _place(self, log_p, log_q):
        return self._narrow(self._cut.quantile(log_p, log_q))

    def _narrow(self, result):
        return result.to(self.loc.dtype)

    def _check_ends(self):
        for name, end in (("upper", self.upper), ("lower", self.lower)):
            if end is not None and not bool(torch.isfinite(end).all()):
                raise refuse(
                    "TruncatedGumbel",
                    f"{name} contains {float(end[~torch.isfinite(end)][0])}",
                    "a finite end",
                    f"Leave {name} out where there is no such end.",
                )
        if None not in (self.upper, self.lower) and not bool((self.lower < self.upper).all()):
            raise refuse(
                "TruncatedGumbel",
                "found a lower end that is not below the upper",
                "lower < upper in each member of the batch",
                "TruncatedGumbel(loc, scale, upper=upper, lower=lower): upper comes first.",
            )


class _AtMost(constraints.less_than):
    """Numbers up to a bound, and the bound itself: draws are rounded to it."""

    def check(self, value):
        return value <= self.upper_bound


@biject_to.register(_AtMost)
@transform_to.register(_AtMost)
def _as_below(constraint):
    return biject_to(constraints.less_than(constraint.upper_bound))
