"""The two ways to the gradient of an expectation over normal variables."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from ppl_ext.estimators.arguments import refuse
from ppl_ext.numpyro.estimators.one_hot_draws import score

__all__ = ["AbstractNormalEstimator", "NormalPath", "NormalScoreFunction"]


class AbstractNormalEstimator(ABC):
    """A way to estimate the gradient of an expectation over independent normal variables.

    Example:
        >>> issubclass(NormalPath, AbstractNormalEstimator)
        True
    """

    def surrogate(
        self,
        rng_key: jax.Array,
        f: Callable[[jax.Array], jax.Array],
        mean: jax.Array | float,
        sd: jax.Array | float,
    ) -> jax.Array:
        """Return a number whose value and whose derivative are the two estimates.

        Its value estimates the expectation of ``f``. Its derivative estimates the gradient of
        the expectation, with respect to mean, sd and everything that ``f`` closes over.

        Args:
            rng_key: Random key.
            f: Function of a draw ``(*batch, variable)`` with values ``(*batch,)``.
            mean: Means ``(*batch, variable)``, or a number for a single variable.
            sd: Positive standard deviations, which broadcast against the means.

        Returns:
            The surrogate, with shape ``(*batch,)``.

        Raises:
            ValueError: Values of ``f`` of another shape.
        """
        mean, sd = jnp.broadcast_arrays(1.0 * mean, 1.0 * sd)
        single = mean.ndim == 0
        mean, sd = (each[None] if single else each for each in (mean, sd))

        def minded(z):
            values, shape = jnp.asarray(f(z[0] if single else z)), z.shape[:-1]
            if values.shape != shape:
                raise refuse(
                    type(self).__name__,
                    f"f returned the shape {values.shape} for a draw of the shape {z.shape}",
                    f"one value for each member of the batch, {shape}",
                    "Sum over the variables: f(z).sum(-1).",
                )
            return values

        return self._surrogate(
            minded, mean, sd, jax.random.normal(rng_key, mean.shape, mean.dtype)
        )

    @abstractmethod
    def _surrogate(self, f, mean, sd, noise):
        """Do it for arrays of one shape, and an ``f`` that minds its shape."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NormalScoreFunction(AbstractNormalEstimator):
    r"""Score function of normal variables: from the values of ``f`` alone.

    .. math:: (f(z) - b) \, \nabla \log N(z; \mu, \sigma^2), \quad z \sim N(\mu, \sigma^2)

    For functions without a derivative. Where there is one, ``NormalPath`` is many times quieter:
    for ``f(z) = z^2``, ``sd = 1`` and ``mean = a theta + b`` the variance of the gradient in
    ``theta`` is ``a^2 (mean^4 + 14 mean^2 + 15)`` against ``4 a^2``.

    Args:
        baseline: A number that is subtracted from ``f``, or an array ``(*batch,)``; it may not
            depend on the draw.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def surrogate(mean, key):
        ...     return NormalScoreFunction().surrogate(key, lambda z: z**2, mean, 1.0)
        >>> keys = jax.random.split(jax.random.key(0), 200_000)
        >>> gradients = jax.vmap(jax.grad(surrogate), (None, 0))(jnp.array(1.0), keys)
        >>> round(float(gradients.mean()), 1), round(float(gradients.var()), -1)  # 2 and 30
        (2.0, 30.0)

    References:
        Williams (1992), Simple Statistical Gradient-Following Algorithms for Connectionist
        Reinforcement Learning, Machine Learning 8, doi:10.1007/BF00992696.
    """

    baseline: float | jax.Array = 0.0

    def _surrogate(self, f, mean, sd, noise):
        z = stop_gradient(mean + sd * noise)
        values = f(z)
        log_prob = (-0.5 * ((z - mean) / sd) ** 2 - jnp.log(sd)).sum(-1)
        return values + score(values - self.baseline, log_prob)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NormalPath(AbstractNormalEstimator):
    r"""Gradient along the path of the draw: reparameterization.

    .. math:: \nabla f(\mu + \sigma \epsilon), \quad \epsilon \sim N(0, 1)

    Not for functions with jumps, whose derivative misses them: there the gradient is biased, and
    ``NormalScoreFunction`` is not.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def surrogate(mean, key):
        ...     return NormalPath().surrogate(key, lambda z: z**2, mean, 1.0)
        >>> keys = jax.random.split(jax.random.key(0), 200_000)
        >>> gradients = jax.vmap(jax.grad(surrogate), (None, 0))(jnp.array(1.0), keys)
        >>> round(float(gradients.mean()), 1), round(float(gradients.var()), 1)  # 2 and 4
        (2.0, 4.0)

    References:
        Kingma, Welling (2014), Auto-Encoding Variational Bayes, ICLR, arXiv:1312.6114.
    """

    def _surrogate(self, f, mean, sd, noise):
        return f(mean + sd * noise)
