"""Straight-through distributions: one-hot draws with the gradient of something soft."""

import jax
import jax.numpy as jnp
from numpyro.distributions import constraints

from ppl_ext.estimators.arguments import refuse_estimator
from ppl_ext.numpyro.distributions.mixed_precision import (
    AbstractMixedPrecision,
    register_divergence,
)
from ppl_ext.numpyro.distributions.relaxed import RelaxedOneHotCategorical
from ppl_ext.numpyro.estimators.estimator import AbstractPathEstimator
from ppl_ext.numpyro.estimators.relaxation import GumbelSoftmax
from ppl_ext.numpyro.estimators.straight_through import StraightThrough
from ppl_ext.numpyro.gumbel.categorical_draws import straight_through
from ppl_ext.numpyro.gumbel.logits import read_class_logits
from ppl_ext.numpyro.gumbel.simplex import logits_vector

__all__ = ["OneHotCategoricalStraightThrough", "RelaxedOneHotCategoricalStraightThrough"]


class _OneHotVector(constraints.Constraint):
    """Vectors with a single one among zeros."""

    is_discrete = True
    event_dim = 1

    def __call__(self, x):
        return ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1)

    def tree_flatten(self):
        return (), ((), {})

    def eq(self, other, static=False):
        return isinstance(other, type(self))

    def feasible_like(self, prototype):
        return _one_hot(jnp.zeros(jnp.shape(prototype)[:-1], int), prototype)


_one_hot_vector = _OneHotVector()


class OneHotCategoricalStraightThrough(AbstractMixedPrecision):
    r"""One-hot categorical whose draws carry a gradient.

    .. math:: z = \text{one-hot}(I), \quad \partial z := \partial\, \mathrm{softmax}(\theta),
        \quad \log q(z) = \sum_k z_k \log \mathrm{softmax}_k(\theta)

    The log-probability is that of the categorical, which is what belongs into an evidence lower
    bound. The gradient through the draws is that of the estimator: as above by default, which is
    biased unless what follows is linear. ``ReinMax`` costs no more and is right to second order.
    The host has no one-hot categorical, so this one serves in the model, too.

    Args:
        probs: Unnormalised probabilities ``(*batch, class)``, or
        logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class out.
        validate_args: Whether arguments and values are checked; by default as in the host.
        estimator: How gradients pass through the draws; ``StraightThrough()`` if None.

    Raises:
        ValueError: No logits or NaN, integers, a row without a possible class, or an estimator
            whose draws are not one-hot.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> categorical = OneHotCategoricalStraightThrough(probs=jnp.array([0.5, 0.5, 0.0]))
        >>> z = categorical.sample(jax.random.key(0))
        >>> float(z.sum()), round(float(categorical.log_prob(z)), 4)
        (1.0, -0.6931)

    References:
        Bengio, Leonard, Courville (2013), Estimating or Propagating Gradients Through Stochastic
        Neurons for Conditional Computation, arXiv:1308.3432.
    """

    arg_constraints = {"logits": logits_vector}  # noqa: RUF012
    support = _one_hot_vector
    reparametrized_params = ("logits",)
    pytree_data_fields = ("logits", "estimator")
    has_enumerate_support = True

    def __init__(
        self,
        probs: jax.Array | None = None,
        logits: jax.Array | None = None,
        validate_args: bool | None = None,
        *,
        estimator: AbstractPathEstimator | None = None,
    ) -> None:
        self.estimator = _read_estimator(type(self).__name__, estimator)
        self.logits = read_class_logits(type(self).__name__, probs, logits, validate_args)
        shape = self.logits.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def probs(self):
        """Probabilities of the classes."""
        return jax.nn.softmax(self.logits, -1)

    def sample(self, key, sample_shape=()):
        """Draw with the estimator's gradient."""
        return self.estimator.sample(key, self.logits, tuple(sample_shape))

    def log_prob(self, value):
        """Return the log-probability of a one-hot value; linear in it."""
        log_probs = jax.nn.log_softmax(self.logits, -1)
        possible = log_probs > -jnp.inf
        # Multiplied by a finite number, that the gradient of a draw is one, too.
        terms = value * jnp.where(possible, log_probs, 0.0)
        terms = jnp.where(possible | (value == 0), terms, -jnp.inf)
        return terms.sum(-1)

    def entropy(self):
        """Return the entropy of the categorical."""
        log_probs = jax.nn.log_softmax(self.logits, -1)
        terms = jnp.exp(log_probs) * jnp.where(log_probs > -jnp.inf, log_probs, 0.0)
        return -terms.sum(-1)

    def enumerate_support(self, expand=True):
        """Return all one-hot vectors, the first axis counting the classes."""
        size = self.event_shape[0]
        values = jnp.eye(size, dtype=self.logits.dtype)
        values = values.reshape(size, *(1,) * len(self.batch_shape), size)
        return jnp.broadcast_to(values, (size, *self.batch_shape, size)) if expand else values

    @property
    def mean(self):
        """The probabilities."""
        return self.probs

    @property
    def variance(self):
        """The variances of the coordinates."""
        return self.probs * (1 - self.probs)

    @property
    def mode(self):
        """The most probable class, one-hot."""
        return _one_hot(self.logits.argmax(-1), self.logits)


class RelaxedOneHotCategoricalStraightThrough(RelaxedOneHotCategorical):
    r"""Relaxed categorical whose draws are made one-hot, with the gradient of the relaxed draw.

    .. math:: z = \text{one-hot}(\arg\max_k x_k), \quad \partial z := \partial x

    The log-density of a draw is the relaxed one at ``x``, known from its intermediates (the host
    hands them back to the guide's ``log_prob``); without them it is the limit at the corner,
    ``inf`` or ``-inf``, never a plausible number. Not for bounds with a discrete prior:
    use ``OneHotCategoricalStraightThrough``.

    Args:
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``; the classes
            are no batch.
        probs: Unnormalised probabilities ``(*batch, class)``, or
        logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class out.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: A temperature that is not positive or does not broadcast, no logits or NaN,
            integers, a row without a possible class.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> relaxed = RelaxedOneHotCategoricalStraightThrough(0.5, logits=jnp.zeros(3))
        >>> hard, soft = relaxed.rsample_with_soft(jax.random.key(0))
        >>> float(hard.max()), bool(jnp.isfinite(relaxed.log_prob(soft)))
        (1.0, True)

    References:
        Jang, Gu, Poole (2017), Categorical Reparameterization with Gumbel-Softmax, ICLR,
        arXiv:1611.01144.
    """

    def sample_with_intermediates(self, key, sample_shape=()):
        """Draw one-hot values together with the scores, from which ``log_prob`` is exact."""
        scores = self._scores(key, sample_shape)
        return self._harden(scores)[0], [scores]

    def rsample_with_soft(
        self, rng_key: jax.Array, sample_shape: tuple[int, ...] = ()
    ) -> tuple[jax.Array, jax.Array]:
        """Draw one-hot values together with the relaxed values that they come from."""
        return self._harden(self._scores(rng_key, sample_shape))

    def _harden(self, scores):
        soft = jax.nn.softmax(scores, -1)
        return straight_through(_one_hot(scores.argmax(-1), soft), soft), soft


def _read_estimator(called, estimator):
    if estimator is None:
        return StraightThrough()
    relaxed = isinstance(estimator, GumbelSoftmax)
    if relaxed or not isinstance(estimator, AbstractPathEstimator):
        raise refuse_estimator(called, estimator, relaxed)
    return estimator


def _one_hot(index, like):
    return jax.nn.one_hot(index, like.shape[-1], dtype=like.dtype)


@register_divergence(OneHotCategoricalStraightThrough)
def _kl_one_hot(p, q):
    p_log, q_log = (jax.nn.log_softmax(each.logits, -1) for each in (p, q))
    possible = p_log > -jnp.inf
    terms = jnp.where(possible, p_log, 0.0) - jnp.where(possible, q_log, 0.0)
    return (jnp.exp(p_log) * terms).sum(-1)
