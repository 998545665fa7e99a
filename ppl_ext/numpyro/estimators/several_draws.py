"""Estimators that compare several draws with each other."""

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from ppl_ext.estimators.arguments import check_count
from ppl_ext.numpyro.estimators.estimator import AbstractScoreEstimator
from ppl_ext.numpyro.estimators.one_hot_draws import score

__all__ = ["VIMCO", "LeaveOneOut"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LeaveOneOut(AbstractScoreEstimator):
    r"""Score function of several draws, the baseline of each the mean of the others.

    .. math:: \frac 1m \sum_i \Bigl(f(z_i) - \frac 1{m-1} \sum_{j \neq i} f(z_j)\Bigr)
        \nabla \log q(z_i)

    Unbiased, with nothing to tune, and the first to try where ``f`` can be evaluated a few times.
    Where it can be evaluated only once, use an estimator whose gradient passes through the draw.

    Args:
        num_draws: Draws for one estimate, two at least.

    Raises:
        ValueError: Fewer than two draws, which leave nothing to compare with.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import estimate_gradient
        >>> f = lambda z: z @ jnp.array([0.0, 1.0, 4.0])
        >>> estimates = estimate_gradient(
        ...     jax.random.key(0), f, jnp.zeros(3), LeaveOneOut(4), num_draws=20_000
        ... )
        >>> [round(each, 1) for each in estimates.gradient.mean(0).tolist()]  # -5/9, -2/9, 7/9
        [-0.6, -0.2, 0.8]

    References:
        Kool, van Hoof, Welling (2019), Buy 4 REINFORCE Samples, Get a Baseline for Free!,
        ICLR workshop on Deep Reinforcement Learning Meets Structured Prediction.
    """

    num_draws: int = field(default=4, metadata={"static": True})

    def __post_init__(self) -> None:
        check_count(
            "LeaveOneOut",
            "num_draws",
            self.num_draws,
            2,
            "LeaveOneOut(num_draws=4), or for a single draw ScoreFunction().",
        )

    def combine(self, values: jax.Array, log_probs: jax.Array) -> jax.Array:
        """Return the surrogate of draws that have been made."""
        weights = (values - values.mean(0)) / (self.num_draws - 1)
        return values.mean(0) + score(weights, log_probs).sum(0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class VIMCO(AbstractScoreEstimator):
    r"""The bound of several draws, each with the geometric mean of the others as its baseline.

    .. math:: L = \log \frac 1m \sum_i e^{f(z_i)}, \quad
        \nabla L + \sum_i (L - L_{-i}) \nabla \log q(z_i)

    Here ``f`` is a log weight, ``log p(x, z) - log q(z)``, and the value is the bound of ``m``
    draws, which is no expectation of ``f``: the estimates are unbiased for the expectation of
    the bound and for its gradient. Not for functions that are no log weights.

    Args:
        num_draws: Draws ``m`` of the bound, two at least.

    Raises:
        ValueError: Fewer than two draws, which leave nothing to compare with.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> log_joint = jnp.log(jnp.array([0.1, 0.2, 0.3]))
        >>> f = lambda z: z[..., 0, :] @ (log_joint - jnp.log(1 / 3))
        >>> for m in (8, 64):  # towards the evidence, log 0.6
        ...     bound = jax.jit(lambda key: VIMCO(m).surrogate(key, f, jnp.zeros((10_000, 1, 3))))
        ...     print(round(float(bound(jax.random.key(0)).mean()), 2))
        -0.52
        -0.51

    References:
        Mnih, Rezende (2016), Variational Inference for Monte Carlo Objectives, ICML,
        arXiv:1602.06725.
    """

    num_draws: int = field(default=4, metadata={"static": True})

    def __post_init__(self) -> None:
        check_count(
            "VIMCO",
            "num_draws",
            self.num_draws,
            2,
            "VIMCO(num_draws=4), or for a single draw ScoreFunction().",
        )

    def combine(self, values: jax.Array, log_probs: jax.Array) -> jax.Array:
        """Return the surrogate of draws that have been made."""
        count = self.num_draws
        bound = jax.nn.logsumexp(values, 0) - math.log(count)
        own = jnp.eye(count, dtype=bool).reshape(count, count, *[1] * (values.ndim - 1))
        others = jnp.where(own, 0.0, values).sum(1) / (count - 1)
        without = jax.nn.logsumexp(jnp.where(own, others[:, None], values), 1) - math.log(count)
        return bound + score(bound - without, log_probs).sum(0)
