"""Relaxed Bernoulli distributions: as logits, and on the unit interval."""

import torch
from torch.distributions import constraints

from ppl_ext.estimators.arguments import refuse_ends, refuse_infinite_logits
from ppl_ext.pyro.distributions.mixed_precision import (
    AbstractMixedPrecision,
    register_divergence,
)
from ppl_ext.pyro.distributions.relaxed import check_temperatures
from ppl_ext.pyro.distributions.remembered_scores import recall, remember
from ppl_ext.pyro.gumbel.logits import checking, read_logits, read_temperature, widen
from ppl_ext.pyro.gumbel.noise import signed_uniform

__all__ = ["LogitRelaxedBernoulli", "RelaxedBernoulli"]


class AbstractRelaxedBernoulli(AbstractMixedPrecision):
    """Temperature, logits and noise, which the two scales share."""

    arg_constraints = {"temperature": constraints.positive, "logits": constraints.real}  # noqa: RUF012
    has_rsample = True

    def __init__(
        self,
        temperature: torch.Tensor | float,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name = type(self).__name__
        given = read_logits(name, probs, logits, validate_args)
        if logits is None:
            probs = torch.as_tensor(probs)
            if checking(validate_args) and not bool((probs < 1).all() & (probs > 0).all()):
                raise refuse_ends(name, float(probs.min()), float(probs.max()))
            given = torch.logit(widen(probs)).to(probs.dtype)
        elif checking(validate_args) and not bool(torch.isfinite(given).all()):
            raise refuse_infinite_logits(name, "logits.clamp(-100.0, 100.0)")
        temperature = read_temperature(name, temperature, given, given.shape, validate_args)
        self.temperature, self.logits = torch.broadcast_tensors(temperature, given)
        super().__init__(self.logits.shape, validate_args=validate_args)

    @property
    def probs(self):
        """Probability of a draw above one half, at every temperature."""
        return torch.sigmoid(self.logits)

    def _scores(self, sample_shape):
        """Draw ``(logits + logistic noise) / temperature``."""
        shape = self._extended_shape(torch.Size(sample_shape))
        uniform = signed_uniform(shape, self.logits.dtype, self.logits.device)
        # Twice the bits' sign and the odds of their size: both tails are full.
        size = uniform.abs()
        noise = torch.copysign(torch.log1p(-size) - torch.log(size), uniform)
        return (self.logits + noise) / self.temperature

    def _log_density(self, scores):
        s = self.logits - self.temperature * scores
        return self.temperature.log() - s.abs() - 2 * torch.log1p(torch.exp(-s.abs()))


class LogitRelaxedBernoulli(AbstractRelaxedBernoulli):
    r"""The relaxed Bernoulli distribution in logits: a logistic distribution.

    .. math:: y = (\theta + L) / \tau, \quad L \sim \mathrm{Logistic}(0, 1)

    Prefer this site to ``RelaxedBernoulli`` and use ``y.sigmoid()``: nothing underflows at low
    temperatures. Do not set its density against a discrete prior.

    Args:
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``.
        probs: Probabilities ``(*batch,)``, strictly between 0 and 1, or
        logits: Log-odds ``(*batch,)``.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: A temperature that is not positive or does not broadcast, no logits, NaN,
            infinities or integers.

    Example:
        >>> import torch
        >>> relaxed = LogitRelaxedBernoulli(0.5, logits=torch.tensor(1.0))
        >>> float(relaxed.mean), round(float(relaxed.log_prob(torch.tensor(200.0))), 4)
        (2.0, -99.6931)

    References:
        Maddison, Mnih, Teh (2017), The Concrete Distribution, ICLR, arXiv:1611.00712.
    """

    support = constraints.real

    def rsample(self, sample_shape=()):
        """Draw with gradients to logits and temperature."""
        return self._scores(sample_shape)

    def log_prob(self, value):
        """Return the log-density at a value."""
        return self._log_density(value)

    def entropy(self):
        """Return the entropy ``2 - log(temperature)``."""
        return 2 - self.temperature.log()

    @property
    def mean(self):
        """The mean ``logits / temperature``."""
        return self.logits / self.temperature

    @property
    def variance(self):
        """The variance ``pi^2 / (3 temperature^2)``."""
        return torch.pi**2 / 3 / self.temperature**2


class RelaxedBernoulli(AbstractRelaxedBernoulli):
    r"""The relaxed Bernoulli distribution on the unit interval.

    .. math:: x = \mathrm{sigmoid}(y), \quad \log q(x) = \log q(y) - \log x - \log(1 - x)

    A draw keeps its logit for as long as the same tensor lives, so that its own density is exact
    although it rounds to 0 or 1; at other values of exactly 0 or 1 the density is its limit. For
    latent sites prefer ``LogitRelaxedBernoulli``.

    Args:
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``.
        probs: Probabilities ``(*batch,)``, strictly between 0 and 1, or
        logits: Log-odds ``(*batch,)``.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: A temperature that is not positive or does not broadcast, no logits, NaN,
            infinities or integers.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> relaxed = RelaxedBernoulli(0.01, logits=torch.tensor(1.0))
        >>> x = relaxed.rsample((1000,))
        >>> bool((x == 1).any()), bool(relaxed.log_prob(x).isfinite().all())
        (True, True)

    References:
        Maddison, Mnih, Teh (2017), The Concrete Distribution, ICLR, arXiv:1611.00712.
    """

    support = constraints.unit_interval

    def rsample(self, sample_shape=()):
        """Draw with gradients to logits and temperature."""
        scores = self._scores(sample_shape)
        return remember(torch.sigmoid(scores), scores)

    def log_prob(self, value):
        """Return the log-density at a value."""
        scores = recall(value)
        y = torch.logit(value) if scores is None else scores
        inside = torch.isfinite(y)
        y = torch.where(inside, y, 0.0)
        density = self._log_density(y) + y.abs() + 2 * torch.log1p(torch.exp(-y.abs()))
        ends = torch.where(self.temperature < 1, torch.inf, -torch.inf)
        # At temperature 1 the ends have a density of their own.
        sign = torch.where(value > 0.5, 1.0, -1.0)
        ends = torch.where(self.temperature == 1, sign * self.logits, ends)
        return torch.where(inside, density, ends)


@register_divergence(LogitRelaxedBernoulli, RelaxedBernoulli)
def _kl_relaxed_bernoulli(p, q):
    check_temperatures(p, q)
    gap = p.logits - q.logits
    small = gap.abs() < 0.1
    series = gap**2 * (1 / 6 - gap**2 * (1 / 360 - gap**2 * (1 / 15120 - gap**2 / 604800)))
    far = torch.where(small, 1.0, gap)
    return torch.where(small, series, far / torch.tanh(far / 2) - 2)
