"""Relaxed Bernoulli distributions: as logits, and on the unit interval."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logit
from numpyro.distributions import constraints

from ppl_ext.estimators.arguments import refuse_ends, refuse_infinite_logits
from ppl_ext.numpyro.distributions.mixed_precision import (
    AbstractMixedPrecision,
    register_divergence,
)
from ppl_ext.numpyro.distributions.relaxed import check_temperatures
from ppl_ext.numpyro.gumbel.logits import checking, read_logits, read_temperature, widen
from ppl_ext.numpyro.gumbel.noise import signed_uniform

__all__ = ["LogitRelaxedBernoulli", "RelaxedBernoulli"]


class AbstractRelaxedBernoulli(AbstractMixedPrecision):
    """Temperature, logits and noise, which the two scales share."""

    arg_constraints = {"temperature": constraints.positive, "logits": constraints.real}  # noqa: RUF012
    reparametrized_params = ("temperature", "logits")

    def __init__(
        self,
        temperature: jax.Array | float,
        probs: jax.Array | None = None,
        logits: jax.Array | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name = type(self).__name__
        given = read_logits(name, probs, logits, validate_args)
        if logits is None:
            probs = jnp.asarray(probs)
            if checking(validate_args, probs) and not (
                np.all(np.asarray(probs) < 1) and np.all(np.asarray(probs) > 0)
            ):
                raise refuse_ends(name, float(probs.min()), float(probs.max()))
            given = logit(widen(probs)).astype(probs.dtype)
        elif checking(validate_args, given) and not np.isfinite(np.asarray(given)).all():
            raise refuse_infinite_logits(name, "jnp.clip(logits, -100.0, 100.0)")
        temperature = read_temperature(name, temperature, given, given.shape, validate_args)
        self.temperature, self.logits = jnp.broadcast_arrays(temperature, given)
        super().__init__(self.logits.shape, validate_args=validate_args)

    @property
    def probs(self):
        """Probability of a draw above one half, at every temperature."""
        return jax.nn.sigmoid(self.logits)

    def _scores(self, key, sample_shape):
        """Draw ``(logits + logistic noise) / temperature``."""
        shape = (*sample_shape, *self.batch_shape)
        uniform = signed_uniform(key, shape, self.logits.dtype, exact=False)
        # Twice the bits' sign and the odds of their size: both tails are full.
        size = jnp.abs(uniform)
        noise = jnp.copysign(jnp.log1p(-size) - jnp.log(size), uniform)
        return (self.logits + noise) / self.temperature

    def _log_density(self, scores):
        s = self.logits - self.temperature * scores
        return jnp.log(self.temperature) - jnp.abs(s) - 2 * jnp.log1p(jnp.exp(-jnp.abs(s)))


class LogitRelaxedBernoulli(AbstractRelaxedBernoulli):
    r"""The relaxed Bernoulli distribution in logits: a logistic distribution.

    .. math:: y = (\theta + L) / \tau, \quad L \sim \mathrm{Logistic}(0, 1)

    Prefer this site to ``RelaxedBernoulli``, with ``jax.nn.sigmoid(y)``: nothing underflows at low
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
        >>> import jax, jax.numpy as jnp
        >>> relaxed = LogitRelaxedBernoulli(0.5, logits=jnp.array(1.0))
        >>> float(relaxed.mean), round(float(relaxed.log_prob(jnp.array(200.0))), 4)
        (2.0, -99.6931)

    References:
        Maddison, Mnih, Teh (2017), The Concrete Distribution, ICLR, arXiv:1611.00712.
    """

    support = constraints.real

    def sample(self, key, sample_shape=()):
        """Draw with gradients to logits and temperature."""
        return self._scores(key, sample_shape)

    def log_prob(self, value):
        """Return the log-density at a value."""
        return self._log_density(value)

    def entropy(self):
        """Return the entropy ``2 - log(temperature)``."""
        return 2 - jnp.log(self.temperature)

    @property
    def mean(self):
        """The mean ``logits / temperature``."""
        return self.logits / self.temperature

    @property
    def variance(self):
        """The variance ``pi^2 / (3 temperature^2)``."""
        return jnp.pi**2 / 3 / self.temperature**2


class RelaxedBernoulli(AbstractRelaxedBernoulli):
    r"""The relaxed Bernoulli distribution on the unit interval.

    .. math:: x = \mathrm{sigmoid}(y), \quad \log q(x) = \log q(y) - \log x - \log(1 - x)

    A draw comes with its logit as intermediate (the host hands it back to the guide's
    ``log_prob``), so that its own density is exact although it rounds to 0 or 1; at other values
    of exactly 0 or 1 the density is its limit. For latent sites prefer ``LogitRelaxedBernoulli``.

    Args:
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``.
        probs: Probabilities ``(*batch,)``, strictly between 0 and 1, or
        logits: Log-odds ``(*batch,)``.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: A temperature that is not positive or does not broadcast, no logits, NaN,
            infinities or integers.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> relaxed = RelaxedBernoulli(0.01, logits=jnp.array(1.0))
        >>> x, scores = relaxed.sample_with_intermediates(jax.random.key(0), (1000,))
        >>> bool((x == 1).any()), bool(jnp.isfinite(relaxed.log_prob(x, scores)).all())
        (True, True)

    References:
        Maddison, Mnih, Teh (2017), The Concrete Distribution, ICLR, arXiv:1611.00712.
    """

    support = constraints.unit_interval

    def sample(self, key, sample_shape=()):
        """Draw with gradients to logits and temperature."""
        return self.sample_with_intermediates(key, sample_shape)[0]

    def sample_with_intermediates(self, key, sample_shape=()):
        """Draw together with the logit, from which ``log_prob`` is exact."""
        scores = self._scores(key, sample_shape)
        return jax.nn.sigmoid(scores), [scores]

    def log_prob(self, value, intermediates=None):
        """Return the log-density at a value."""
        y = intermediates[0] if intermediates else logit(value)
        inside = jnp.isfinite(y)
        y = jnp.where(inside, y, 0.0)
        density = self._log_density(y) + jnp.abs(y) + 2 * jnp.log1p(jnp.exp(-jnp.abs(y)))
        ends = jnp.where(self.temperature < 1, jnp.inf, -jnp.inf)
        # At temperature 1 the ends have a density of their own.
        sign = jnp.where(value > 0.5, 1.0, -1.0)
        ends = jnp.where(self.temperature == 1, sign * self.logits, ends)
        return jnp.where(inside, density, ends)


@register_divergence(LogitRelaxedBernoulli, RelaxedBernoulli)
def _kl_relaxed_bernoulli(p, q):
    same = check_temperatures(p, q)
    gap = p.logits - q.logits
    small = jnp.abs(gap) < 0.1
    series = gap**2 * (1 / 6 - gap**2 * (1 / 360 - gap**2 * (1 / 15120 - gap**2 / 604800)))
    far = jnp.where(small, 1.0, gap)
    divergence = jnp.where(small, series, far / jnp.tanh(far / 2) - 2)
    return jnp.where(same, divergence, jnp.nan)
