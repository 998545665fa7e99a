"""Straight through to the first and to the second order."""

from dataclasses import dataclass

import jax

from ppl_ext.numpyro.estimators.estimator import AbstractPathEstimator, register_estimator
from ppl_ext.numpyro.estimators.integrand import check_temperature
from ppl_ext.numpyro.estimators.one_hot_draws import draw_through, softmax_product

__all__ = ["ReinMax", "StraightThrough"]


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
        return draw_through("StraightThrough", rng_key, logits, sample_shape, _pass_softmax)


def _pass_softmax(rng_key, logits, hard, vector):
    return softmax_product(jax.nn.softmax(logits, -1), vector)


@register_estimator
@dataclass(frozen=True)
class ReinMax(AbstractPathEstimator):
    r"""One-hot draws with a gradient that is exact for quadratic functions of one variable.

    .. math:: \partial z := \left(2 J\left(\tfrac{p_\tau + z}2\right) - \tfrac12 J(p)\right)
        \partial \theta, \quad J(p) = \mathrm{diag}(p) - p p^\top, \quad
        p_\tau = \mathrm{softmax}(\theta / \tau)

    The first choice where ``f`` can be evaluated only once. Not where its derivative says little
    about its values, as of a step: nothing that passes through the draw sees those.

    Args:
        temperature: Positive; exact at 1, and of less variance and some bias at 1 to 1.3. Not
            below 1.

    Raises:
        ValueError: A temperature that is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import estimate_gradient
        >>> f = lambda z: (z @ jnp.array([0.0, 1.0, 4.0])) ** 2
        >>> estimates = estimate_gradient(
        ...     jax.random.key(0), f, jnp.zeros(3), ReinMax(), num_draws=20_000
        ... )
        >>> exact = jnp.array([-17.0, -14.0, 31.0]) / 9
        >>> bool(jnp.abs(estimates.gradient.mean(0) - exact).max() < 0.1)
        True

    References:
        Liu, Dong, Liu, Yu, Gao (2023), Bridging Discrete and Backpropagation: Straight-Through
        and Beyond, NeurIPS, arXiv:2304.08612.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_temperature("ReinMax", self.temperature)

    def sample(
        self, rng_key: jax.Array, logits: jax.Array, sample_shape: tuple[int, ...] = ()
    ) -> jax.Array:
        """Draw one-hot values that carry the estimator's gradient."""
        return draw_through(
            "ReinMax", rng_key, logits, sample_shape, _pass_reinmax, (self.temperature,)
        )


def _pass_reinmax(rng_key, logits, hard, vector, temperature):
    return reinmax_product(logits, hard, vector, temperature)


def reinmax_product(logits, hard, vector, temperature):
    """Multiply a vector by ReinMax's matrix for the one-hot draw."""
    tempered = jax.nn.softmax(logits / temperature, -1)
    at_draw = (hard * vector).sum(-1, keepdims=True)
    middle = 0.5 * ((tempered * vector).sum(-1, keepdims=True) + at_draw)
    product = (tempered + hard) * vector - tempered * middle - hard * middle
    return product - 0.5 * softmax_product(jax.nn.softmax(logits, -1), vector)
