"""Estimates of a gradient, many at once: to look at what an estimator does."""

from collections.abc import Callable
from dataclasses import dataclass

import jax

from ppl_ext.numpyro.distributions.arguments import check_classes, read_logits
from ppl_ext.numpyro.estimators.estimator import AbstractEstimator

__all__ = ["GradientEstimate", "estimate_gradient"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GradientEstimate:
    """Independent estimates of an expectation and of its gradient.

    Attributes:
        value: Estimates of the expectation, with shape ``(draw, *batch)``.
        gradient: Estimates of its gradient in the logits, with shape ``(draw, *logits.shape)``.

    Example:
        >>> import jax.numpy as jnp
        >>> GradientEstimate(jnp.zeros(2), jnp.ones((2, 3))).gradient.shape
        (2, 3)
    """

    value: jax.Array
    gradient: jax.Array


def estimate_gradient(
    rng_key: jax.Array,
    f: Callable[[jax.Array], jax.Array],
    logits: jax.Array,
    estimator: AbstractEstimator,
    num_draws: int = 1,
) -> GradientEstimate:
    """Estimate an expectation over discrete variables, and its gradient in the logits.

    What ``f`` closes over is held fixed, logits among it. To train it as well, differentiate
    ``estimator.surrogate``.

    Args:
        rng_key: Random key.
        f: Function of one-hot draws ``(*draws, *logits.shape)``, each member of the batch by
            itself, with values ``(*draws, *batch)``.
        logits: Unnormalised log-probabilities ``(*batch, variable, class)``, or ``(class,)``
            for a single variable; ``-inf`` rules a class out.
        estimator: How to estimate, such as ``LeaveOneOut()``.
        num_draws: Number of independent estimates.

    Returns:
        The estimates, differentiable in the parameters of the estimator.

    Raises:
        ValueError: Logits that are NaN or +inf, or all -inf for a variable, or values of ``f`` of
            another shape than the draws.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import LeaveOneOut
        >>> f = lambda z: (z * jnp.arange(3.0)).sum((-2, -1))
        >>> estimates = estimate_gradient(
        ...     jax.random.key(0), f, jnp.zeros((2, 3)), LeaveOneOut(), num_draws=1000
        ... )
        >>> estimates.gradient.shape, abs(float(estimates.value.mean()) - 2) < 0.1
        ((1000, 2, 3), True)
    """
    logits = read_logits("estimate_gradient", None, logits, None)
    check_classes("estimate_gradient", logits, None)

    def total(logits, key):
        value = estimator.surrogate(key, f, logits)
        return value.sum(), value

    def estimate(key):
        gradient, value = jax.grad(total, has_aux=True)(logits, key)
        return GradientEstimate(value, gradient)

    return jax.vmap(estimate)(jax.random.split(rng_key, num_draws))
