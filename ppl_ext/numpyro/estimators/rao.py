"""Rao-Blackwellised estimators: the noise that the draw leaves open is averaged over."""

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from ppl_ext.estimators.arguments import check_count
from ppl_ext.numpyro.estimators.conditional_noise import average_product
from ppl_ext.numpyro.estimators.estimator import AbstractPathEstimator, register_estimator
from ppl_ext.numpyro.estimators.integrand import check_temperature
from ppl_ext.numpyro.estimators.one_hot_draws import draw_through, softmax_product

__all__ = ["GumbelRao", "ReinMaxRao"]


@register_estimator
@dataclass(frozen=True)
class GumbelRao(AbstractPathEstimator):
    r"""``StraightThroughGumbelSoftmax`` averaged over the noise that leads to the same draw.

    .. math:: \partial z := \frac 1M \sum_m
        \partial\, \mathrm{softmax}\left((\theta + G_m) / \tau\right), \quad G_m \sim G \mid z

    The mean is the same and the variance falls with ``M``, while ``f`` is evaluated once. The
    noise is held fixed in the derivative, without which the mean would be another. It is drawn
    in the backward pass, one draw after the other, so that memory does not grow with ``M``.

    Args:
        temperature: Positive; with many draws 0.1 to 0.5.
        num_draws: Draws of the noise, ``M``.

    Raises:
        ValueError: A temperature that is not positive, or no draws.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import estimate_gradient
        >>> f = lambda z: z @ jnp.array([0.0, 1.0, 4.0])
        >>> one, many = (
        ...     estimate_gradient(
        ...         jax.random.key(0), f, jnp.zeros(3), GumbelRao(0.5, draws), num_draws=4000
        ...     ).gradient
        ...     for draws in (1, 10)
        ... )
        >>> bool(many.var(0).sum() < 0.5 * one.var(0).sum())
        True

    References:
        Paulus, Maddison, Krause (2021), Rao-Blackwellizing the Straight-Through Gumbel-Softmax
        Gradient Estimator, ICLR, arXiv:2010.04838.
    """

    temperature: float = 0.3
    num_draws: int = 10

    def __post_init__(self) -> None:
        check_temperature("GumbelRao", self.temperature)
        check_count("GumbelRao", "num_draws", self.num_draws, 1, "GumbelRao(num_draws=10).")

    def sample(
        self, rng_key: jax.Array, logits: jax.Array, sample_shape: tuple[int, ...] = ()
    ) -> jax.Array:
        """Draw one-hot values that carry the estimator's gradient."""
        multiply = partial(_gumbel_rao, self.num_draws)
        parameters = (self.temperature,)
        return draw_through("GumbelRao", rng_key, logits, sample_shape, multiply, parameters)


@register_estimator
@dataclass(frozen=True)
class ReinMaxRao(AbstractPathEstimator):
    r"""``ReinMax`` whose first matrix is that of ``GumbelRao`` at the point between.

    .. math:: \partial z := \left(2 \bar J_\tau - \tfrac12 J(p)\right) \partial \theta, \quad
        \bar J_\tau = \mathrm{E}\left[\partial\, \mathrm{softmax}
        \left((\theta' + G) / \tau\right) \mid z\right], \quad
        \theta' = \log \tfrac{p + z}2

    Of less variance than ``ReinMax`` at temperatures near 1, and with a bias even for quadratic
    functions. Not at low temperatures with few draws, where the noise prevails.

    Args:
        temperature: Positive; that of the relaxed draws.
        num_draws: Draws of the noise for the mean.

    Raises:
        ValueError: A temperature that is not positive, or no draws.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import ReinMax, estimate_gradient
        >>> f = lambda z: (z @ jnp.array([0.0, 1.0, 4.0])) ** 2
        >>> plain, rao = (
        ...     estimate_gradient(
        ...         jax.random.key(0), f, jnp.zeros(3), each, num_draws=4000
        ...     ).gradient
        ...     for each in (ReinMax(), ReinMaxRao())
        ... )
        >>> bool(rao.var(0).sum() < plain.var(0).sum())
        True

    References:
        Wang, Bui (2026), Beyond ReinMax: Low-Variance Gradient Estimators for Discrete Latent
        Variables, arXiv:2603.08257.
    """

    temperature: float = 1.0
    num_draws: int = 10

    def __post_init__(self) -> None:
        check_temperature("ReinMaxRao", self.temperature)
        check_count("ReinMaxRao", "num_draws", self.num_draws, 1, "ReinMaxRao(num_draws=10).")

    def sample(
        self, rng_key: jax.Array, logits: jax.Array, sample_shape: tuple[int, ...] = ()
    ) -> jax.Array:
        """Draw one-hot values that carry the estimator's gradient."""
        multiply = partial(_reinmax_rao, self.num_draws)
        parameters = (self.temperature,)
        return draw_through("ReinMaxRao", rng_key, logits, sample_shape, multiply, parameters)


def _gumbel_rao(num_draws, rng_key, logits, hard, vector, temperature):
    log_probs = jax.nn.log_softmax(logits, -1)
    return average_product(rng_key, log_probs, hard, vector, temperature, num_draws)


def _reinmax_rao(num_draws, rng_key, logits, hard, vector, temperature):
    log_probs = jax.nn.log_softmax(logits, -1)
    between = _halfway(log_probs, hard)
    mean = average_product(rng_key, between, hard, vector, temperature, num_draws)
    return 2 * mean - 0.5 * softmax_product(jnp.exp(log_probs), vector)


def _halfway(log_probs, hard):
    """Return the logarithm of the mean of the probabilities and the one-hot draw."""
    half = log_probs - math.log(2.0)
    return jnp.where(hard > 0, jnp.logaddexp(half, -math.log(2.0)), half)
