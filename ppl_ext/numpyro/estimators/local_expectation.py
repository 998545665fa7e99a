"""The expectation over one variable exactly, over the others by a draw."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ppl_ext.numpyro.estimators.estimator import AbstractEstimator
from ppl_ext.numpyro.estimators.one_hot_draws import draw_one_hot, score
from ppl_ext.numpyro.gumbel.logits import widen

__all__ = ["LocalExpectation"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LocalExpectation(AbstractEstimator):
    r"""All classes of each variable in turn, the other variables at their draw.

    .. math:: \nabla_{\theta_i} = \sum_k \nabla \pi_{ik} \, f(z_1, \dots, z_i = k, \dots, z_n)

    Unbiased, exact for a single variable, and of low variance. Not where ``f`` is expensive or
    there are many variables: all classes of all of them are evaluated, at once.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> f = lambda z: z @ jnp.array([0.0, 1.0, 4.0])
        >>> surrogate = lambda logits: LocalExpectation().surrogate(jax.random.key(0), f, logits)
        >>> value, gradient = jax.jit(jax.value_and_grad(surrogate))(jnp.zeros(3))
        >>> round(9 * float(value)), [round(9 * each) for each in gradient.tolist()]
        (15, [-5, -2, 7])

    References:
        Titsias, Lazaro-Gredilla (2015), Local Expectation Gradients for Black Box Variational
        Inference, NeurIPS, arXiv:1503.01494.
    """

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs: each class of each."""
        return num_variables * num_classes

    def _surrogate(self, rng_key, f, logits):
        variables, classes = logits.shape[-2:]
        drawn = draw_one_hot(rng_key, logits)
        probs = jnp.moveaxis(jax.nn.softmax(widen(logits), -1), (-2, -1), (0, 1))
        one = jnp.eye(variables, dtype=bool).reshape(
            variables, 1, *[1] * (logits.ndim - 2), variables, 1
        )
        each = jnp.eye(classes, dtype=logits.dtype).reshape(
            classes, *[1] * (logits.ndim - 2), 1, classes
        )
        possible = probs > 0
        # A class that is ruled out gives way to the draw: f need not be defined there.
        values = f(jnp.where(one & possible[..., None, None], each, drawn))
        return (jax.lax.stop_gradient(probs) * values).sum(1).mean(0) + score(values, probs).sum(
            (0, 1)
        )
