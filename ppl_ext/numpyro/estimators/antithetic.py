"""Estimators for variables of two classes, from a draw and its mirror image."""

from abc import abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from ppl_ext.estimators.arguments import refuse
from ppl_ext.numpyro.estimators.estimator import AbstractEstimator
from ppl_ext.numpyro.estimators.one_hot_draws import score
from ppl_ext.numpyro.gumbel.logits import widen
from ppl_ext.numpyro.gumbel.noise import signed_uniform

__all__ = ["ARM", "AbstractAntithetic", "DisARM"]


class AbstractAntithetic(AbstractEstimator):
    """What the two estimators share: a draw and its mirror image, both distributed as they should.

    Example:
        >>> issubclass(DisARM, AbstractAntithetic)
        True
    """

    def evaluations(self, num_variables: int, num_classes: int) -> int:
        """Count the evaluations of the function that one estimate costs: two."""
        return 2

    def _surrogate(self, rng_key, f, logits):
        if logits.shape[-1] != 2:
            raise refuse(
                type(self).__name__,
                f"the logits have {logits.shape[-1]} classes",
                "two: the estimator mirrors the draws of binary variables",
                "LeaveOneOut(num_draws=2), which takes any number of classes.",
            )
        wide = widen(logits)
        possible = jnp.isfinite(wide).all(-1)
        gap = wide[..., 1] - wide[..., 0]
        # Where a class is ruled out, no gradient is due, and infinity minus itself not a number.
        kept = jnp.where(possible[..., None], wide, 0.0)
        kept = kept[..., 1] - kept[..., 0]
        uniform = signed_uniform(rng_key, gap.shape, gap.dtype, False)
        size = jnp.abs(uniform)
        noise = jnp.sign(uniform) * (jnp.log(size) - jnp.log1p(-size))
        first, second = noise < gap, -noise < gap
        pair = jnp.stack([first, second])
        values = f(jnp.stack([~pair, pair], -1).astype(logits.dtype))
        weights = self._weigh(first, second, noise, stop_gradient(gap))
        weights = jnp.where(possible, weights, 0.0) * (values[0] - values[1])[..., None]
        return values.mean(0) + score(weights, kept).sum(-1)

    @abstractmethod
    def _weigh(self, first, second, noise, gap):
        """Weigh the difference of the two values, for the gradient in each gap of logits."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ARM(AbstractAntithetic):
    r"""Augment, reinforce and merge: the difference between a binary draw and its mirror image.

    .. math:: \left(f(1[u > \sigma(-\phi)]) - f(1[u < \sigma(\phi)])\right)
        \left(u - \tfrac 12\right), \quad \phi = \theta_1 - \theta_0

    Unbiased, for two classes. ``DisARM`` costs the same and is never worse.

    Raises:
        ValueError: More or less than two classes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import estimate_gradient
        >>> f = lambda z: z[..., 1].sum(-1) ** 2
        >>> estimates = estimate_gradient(
        ...     jax.random.key(0), f, jnp.zeros((2, 2)), ARM(), num_draws=20_000
        ... )
        >>> [round(each, 1) for each in estimates.gradient.mean(0)[0].tolist()]
        [-0.5, 0.5]

    References:
        Yin, Zhou (2019), ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks,
        ICLR, arXiv:1807.11143.
    """

    def _weigh(self, first, second, noise, gap):
        return -0.5 * jnp.tanh(noise / 2)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DisARM(AbstractAntithetic):
    r"""Difference between a binary draw and its mirror image, where the two differ.

    .. math:: \tfrac 12 \left(f(b) - f(\tilde b)\right) (-1)^{\tilde b} \,
        1[b \neq \tilde b] \, \sigma(|\phi|), \quad \phi = \theta_1 - \theta_0

    What remains of ``ARM`` when the noise behind the two draws is averaged out. Unbiased, for two
    classes.

    Raises:
        ValueError: More or less than two classes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import estimate_gradient
        >>> f = lambda z: z[..., 1].sum(-1) ** 2
        >>> estimates = estimate_gradient(
        ...     jax.random.key(0), f, jnp.zeros((2, 2)), DisARM(), num_draws=20_000
        ... )
        >>> [round(each, 1) for each in estimates.gradient.mean(0)[0].tolist()]
        [-0.5, 0.5]

    References:
        Dong, Mnih, Tucker (2020), DisARM: An Antithetic Gradient Estimator for Binary Latent
        Variables, NeurIPS, arXiv:2006.10680.
    """

    def _weigh(self, first, second, noise, gap):
        differ = (first != second) * jax.nn.sigmoid(jnp.abs(gap))
        return 0.5 * jnp.where(second, -differ, differ)
