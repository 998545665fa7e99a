"""The straight-through estimator."""

from dataclasses import dataclass

import jax

from ppl_ext.numpyro.estimators.estimator import AbstractPathEstimator
from ppl_ext.numpyro.estimators.one_hot_paths import draw_through, softmax_product
from ppl_ext.numpyro.estimators.pytree import register_estimator

__all__ = ["StraightThrough"]


@register_estimator
@dataclass(frozen=True)
class StraightThrough(AbstractPathEstimator):
    r"""One-hot draws with the gradient of the probabilities.

    .. math:: z = \text{one-hot}(I), \quad \partial z := \partial\, \mathrm{softmax}(\theta)

    Of small variance, and biased unless ``f`` is linear: ``ReinMax`` costs no more and is right
    to the second order.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import estimate_gradient
        >>> f = lambda z: z @ jnp.array([0.0, 1.0, 4.0])
        >>> estimates = estimate_gradient(jax.random.key(0), f, jnp.zeros(3), StraightThrough())
        >>> [round(each, 4) for each in estimates.gradient[0].tolist()]  # f is linear: exact
        [-0.5556, -0.2222, 0.7778]

    References:
        Bengio, Leonard, Courville (2013), Estimating or Propagating Gradients Through Stochastic
        Neurons for Conditional Computation, arXiv:1308.3432.
    """

    def sample(
        self, rng_key: jax.Array, logits: jax.Array, sample_shape: tuple[int, ...] = ()
    ) -> jax.Array:
        """Draw one-hot values that carry the estimator's gradient."""
        return draw_through("StraightThrough", rng_key, logits, sample_shape, _multiply)


def _multiply(rng_key, logits, hard, vector):
    return softmax_product(jax.nn.softmax(logits, -1), vector)
