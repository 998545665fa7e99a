"""Estimates of a gradient, many at once: to look at what an estimator does."""

from collections.abc import Callable
from dataclasses import dataclass

import jax

from ppl_ext.estimators.arguments import check_count, check_function, refuse
from ppl_ext.numpyro.estimators.estimator import AbstractEstimator
from ppl_ext.numpyro.gumbel.logits import check_classes, read_logits

__all__ = ["GradientEstimate", "estimate_gradient", "second_moment"]


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
        The estimates.

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
    logits = _read_request("estimate_gradient", f, logits, estimator, num_draws)
    return _estimate(rng_key, f, logits, estimator, num_draws)


def _estimate(rng_key, f, logits, estimator, num_draws):
    """Return independent estimates of value and gradient."""

    def total(logits, key):
        value = estimator.surrogate(key, f, logits)
        return value.sum(), value

    def estimate(key):
        gradient, value = jax.grad(total, has_aux=True)(logits, key)
        return GradientEstimate(value, gradient)

    # One program: JAX would compile every operation by itself, which takes ten times as long.
    return jax.jit(jax.vmap(estimate))(jax.random.split(rng_key, num_draws))


def second_moment(
    rng_key: jax.Array,
    f: Callable[[jax.Array], jax.Array],
    logits: jax.Array,
    estimator: AbstractEstimator,
    num_draws: int = 1,
) -> jax.Array:
    r"""Estimate the mean squared length of the gradient's estimates, to learn an estimator by.

    .. math:: E \lVert g \rVert^2 = \lVert E g \rVert^2 + \operatorname{tr} \operatorname{Var} g

    For an unbiased estimator the first term does not depend on its parameters: the derivative of
    this in the temperature and scale of ``REBAR``, or in the network of ``RELAX``, is that of the
    variance. Not for biased estimators, which it would push to vanishing gradients.

    Args:
        rng_key: Random key.
        f: Function as in ``estimate_gradient``.
        logits: Unnormalised log-probabilities as there.
        estimator: Unbiased estimator whose parameters are to be learned.
        num_draws: Number of independent estimates; one is enough for an unbiased derivative.

    Returns:
        The second moment, summed over the batch; differentiable in the estimator's parameters.

    Raises:
        ValueError: As ``estimate_gradient``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import REBAR
        >>> f = lambda z: ((z - 0.45) ** 2).sum((-2, -1))
        >>> moment = lambda scale: second_moment(
        ...     jax.random.key(0), f, jnp.zeros((1, 2)), REBAR(0.5, scale), num_draws=1000
        ... )
        >>> bool(jax.grad(moment)(0.0) < 0 < jax.grad(moment)(2.0))  # the best is between
        True

    References:
        Tucker, Mnih, Maddison, Lawson, Sohl-Dickstein (2017), REBAR: Low-Variance, Unbiased
        Gradient Estimates for Discrete Latent Variable Models, NeurIPS, arXiv:1703.07370.
    """
    logits = _read_request("second_moment", f, logits, estimator, num_draws)
    gradient = _estimate(rng_key, f, logits, estimator, num_draws).gradient
    return (gradient**2).sum() / num_draws


def check_estimator(called, estimator) -> None:
    """Refuse what is no estimator, such as its class or its name."""
    if not isinstance(estimator, AbstractEstimator):
        raise refuse(
            called,
            f"the estimator is {estimator!r}",
            "an object of px.estimators",
            f"{called}(..., LeaveOneOut(4)).",
        )


def _read_request(called, f, logits, estimator, num_draws):
    """Check what estimates are made of, and return the logits."""
    check_function(called, f)
    check_estimator(called, estimator)
    check_count(called, "num_draws", num_draws, 1, f"{called}(..., num_draws=1).")
    logits = read_logits(called, None, logits, None)
    check_classes(called, logits, None)
    return logits
