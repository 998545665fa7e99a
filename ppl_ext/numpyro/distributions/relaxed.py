"""Relaxed categorical distributions: on the log-simplex, and on the simplex."""

import jax
import jax.numpy as jnp
from jax.core import Tracer
from numpyro.distributions import constraints

from ppl_ext.estimators.arguments import refuse_unequal_temperatures
from ppl_ext.numpyro.distributions.mixed_precision import (
    HALF,
    AbstractMixedPrecision,
    register_divergence,
)
from ppl_ext.numpyro.gumbel import concrete_density
from ppl_ext.numpyro.gumbel.logits import read_class_logits, read_temperature
from ppl_ext.numpyro.gumbel.noise import gumbel_noise
from ppl_ext.numpyro.gumbel.simplex import log_simplex, logits_vector, rounded_simplex

__all__ = ["ExpRelaxedOneHotCategorical", "RelaxedOneHotCategorical"]


class AbstractRelaxedCategorical(AbstractMixedPrecision):
    """Temperature, logits and perturbed scores, which the relaxed categoricals share."""

    arg_constraints = {"temperature": constraints.positive, "logits": logits_vector}  # noqa: RUF012
    reparametrized_params = ("temperature", "logits")

    def __init__(
        self,
        temperature: jax.Array | float,
        probs: jax.Array | None = None,
        logits: jax.Array | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name = type(self).__name__
        logits = read_class_logits(name, probs, logits, validate_args)
        temperature = read_temperature(name, temperature, logits, logits.shape[:-1], validate_args)
        batch_shape = jnp.broadcast_shapes(temperature.shape, logits.shape[:-1])
        self.temperature = jnp.broadcast_to(temperature, batch_shape)
        self.logits = jnp.broadcast_to(logits, (*batch_shape, logits.shape[-1]))
        super().__init__(batch_shape, logits.shape[-1:], validate_args=validate_args)

    @property
    def probs(self):
        """Probabilities of the classes: of each being the largest, at every temperature."""
        return jax.nn.softmax(self.logits, -1)

    def _scores(self, key, sample_shape):
        """Draw ``(logits + noise) / temperature``."""
        shape = (*sample_shape, *self.batch_shape, *self.event_shape)
        # The gradient of -inf / temperature would not be a number.
        possible = self.logits > -jnp.inf
        noise = gumbel_noise(key, shape, dtype=self.logits.dtype)
        scores = (jnp.where(possible, self.logits, 0.0) + noise) / self.temperature[..., None]
        return jnp.where(possible, scores, -jnp.inf)

    def _log_density(self, scores):
        """Return the log-density of the log-ratios."""
        return concrete_density.log_density(self.logits, self.temperature, scores)


class ExpRelaxedOneHotCategorical(AbstractRelaxedCategorical):
    r"""The relaxed categorical (Concrete) distribution on the log-simplex.

    .. math:: y = \log \mathrm{softmax}\left((\theta + G) / \tau\right), \quad
        \log q(y) = \log \Gamma(K) + (K - 1) \log \tau
        + \sum_k \log \mathrm{softmax}_k(\theta - \tau y)

    A density of the log-ratios ``y_k - y_K``. Prefer this site to ``RelaxedOneHotCategorical``
    and use ``jnp.exp(y)``: nothing underflows at low temperatures. Do not set its density against
    a discrete prior: relaxed samples go with the divergence of the categoricals.

    Args:
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``; the classes
            are no batch. Samples near the corners below ``1 / (K - 1)``.
        probs: Unnormalised probabilities ``(*batch, class)``, or
        logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class out,
            and the density is then that of the face.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: A temperature that is not positive or does not broadcast, no logits or NaN,
            integers, a row without a possible class.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> relaxed = ExpRelaxedOneHotCategorical(0.01, logits=jnp.zeros(3))
        >>> y = relaxed.sample(jax.random.key(0), (1000,))
        >>> bool(jnp.isfinite(relaxed.log_prob(y)).all())
        True
        >>> relaxed.entropy().shape
        ()

    References:
        Maddison, Mnih, Teh (2017), The Concrete Distribution, ICLR, arXiv:1611.00712.
        Jang, Gu, Poole (2017), Categorical Reparameterization with Gumbel-Softmax, ICLR,
        arXiv:1611.01144.
    """

    support = log_simplex

    def sample(self, key, sample_shape=()):
        """Draw with gradients to logits and temperature."""
        return jax.nn.log_softmax(self._scores(key, sample_shape), -1)

    def log_prob(self, value):
        """Return the log-density of the log-ratios at a value on the log-simplex."""
        return self._log_density(value)

    def entropy(self):
        """Return the entropy of the log-ratios: a constant of the temperature alone."""
        return concrete_density.entropy(self.logits, self.temperature)


class RelaxedOneHotCategorical(AbstractRelaxedCategorical):
    r"""The relaxed categorical (Concrete) distribution on the simplex.

    .. math:: x = \mathrm{softmax}\left((\theta + G) / \tau\right), \quad
        \log q(x) = \log q(y) - \sum_k y_k, \quad y = \log x

    A density of the first ``K - 1`` coordinates, which underflow: at temperature 0.05 nearly every
    draw of ten unlike classes has an exact zero, and the density of that is a limit, ``inf`` or
    ``-inf``. Take ``sample_with_intermediates`` and hand the scores to ``log_prob``, as the
    host does for the guide of an ``SVI``: the density of the draw is then exact. Where values have
    to stand for themselves, as latent sites of the model do, take ``ExpRelaxedOneHotCategorical``.

    Args:
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``; the classes
            are no batch.
        probs: Unnormalised probabilities ``(*batch, class)``, or
        logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class out,
            and the density is then that of the face.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: A temperature that is not positive or does not broadcast, no logits or NaN,
            integers, a row without a possible class.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> relaxed = RelaxedOneHotCategorical(0.05, logits=jnp.zeros(10))
        >>> x, scores = relaxed.sample_with_intermediates(jax.random.key(0), (1000,))
        >>> bool((x == 0).any()), bool(jnp.isfinite(relaxed.log_prob(x, scores)).all())
        (True, True)

    References:
        Maddison, Mnih, Teh (2017), The Concrete Distribution, ICLR, arXiv:1611.00712.
    """

    @property
    def support(self):
        """The simplex; in half precision up to its rounding."""
        return rounded_simplex if self._precision in HALF else constraints.simplex

    def sample(self, key, sample_shape=()):
        """Draw with gradients to logits and temperature."""
        return self.sample_with_intermediates(key, sample_shape)[0]

    def sample_with_intermediates(self, key, sample_shape=()):
        """Draw together with the scores, from which ``log_prob`` is exact."""
        scores = self._scores(key, sample_shape)
        return jax.nn.softmax(scores, -1), [scores]

    def log_prob(self, value, intermediates=None):
        """Return the log-density at a value on the simplex."""
        scores = intermediates[0] if intermediates else concrete_density.log_of(value)
        y = jax.nn.log_softmax(scores, -1) if intermediates else scores
        possible = self.logits > -jnp.inf
        zero = possible & (y == -jnp.inf)
        jacobian = jnp.where(possible & ~zero, y, 0.0).sum(-1)
        count, zeros = possible.sum(-1), zero.sum(-1)
        limit = jnp.where(zeros > self.temperature * (count - zeros), jnp.inf, -jnp.inf)
        density = self._log_density(scores) - jacobian
        return jnp.where((zeros > 0) & _on_face(possible, y), limit, density)


def check_temperatures(p, q):
    """Say where two are equally warm; refuse them where they are known not to be."""
    same = p.temperature == q.temperature
    if not (isinstance(same, Tracer) or bool(same.all())):
        raise refuse_unequal_temperatures(type(p).__name__, "p.sample(key, (1000,))")
    return same


def _on_face(possible, y):
    """Say where the classes that are ruled out are zero, as they must be."""
    return (possible | (y == -jnp.inf)).all(-1)


@register_divergence(ExpRelaxedOneHotCategorical, RelaxedOneHotCategorical)
def _kl_relaxed(p, q):
    same = check_temperatures(p, q)
    return jnp.where(same, concrete_density.divergence(p.logits, q.logits), jnp.nan)
