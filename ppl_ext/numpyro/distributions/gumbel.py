"""The Gumbel distribution, exact in both of its tails."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from numpyro.distributions import constraints
from numpyro.distributions.util import promote_shapes

from ppl_ext.numpyro.distributions.mixed_precision import (
    AbstractMixedPrecision,
    register_divergence,
)
from ppl_ext.numpyro.gumbel import standard_gumbel
from ppl_ext.numpyro.gumbel.noise import gumbel_noise

__all__ = ["Gumbel"]


class Gumbel(AbstractMixedPrecision):
    r"""The Gumbel distribution (of maxima), accurate and complete in both tails.

    .. math:: F(x) = \exp\left(-e^{-z}\right), \quad z = (x - \text{loc}) / \text{scale}

    Samples reach as far as their probability says, and the distribution function, the survival
    function, their logarithms and all inverses keep their relative accuracy. Half precision is
    computed in float32 and cast.

    Args:
        loc: Location: the mode. Shape ``(*batch,)``.
        scale: Scale, positive; the variance is ``pi^2 scale^2 / 6``. Shape ``(*batch,)``.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: The scale is not positive, or an argument is NaN.

    Example:
        >>> gumbel = Gumbel(0.0, 1.0)
        >>> round(float(gumbel.log_sf(40.0)), 4)
        -40.0
        >>> round(float(gumbel.isf(1e-30)), 4)
        69.0776

    References:
        Gumbel (1958), Statistics of Extremes, Columbia University Press.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.real
    reparametrized_params = ("loc", "scale")

    def __init__(
        self,
        loc: jax.Array | float = 0.0,
        scale: jax.Array | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        dtype = jnp.result_type(loc, scale, 1.0)
        batch_shape = jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(scale))
        loc, scale = (jnp.asarray(each, dtype) for each in (loc, scale))
        self.loc, self.scale = promote_shapes(loc, scale)
        super().__init__(batch_shape, validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        """Draw with gradients to ``loc`` and ``scale``."""
        noise = gumbel_noise(key, (*sample_shape, *self.batch_shape), dtype=self.loc.dtype)
        return self.loc + self.scale * noise

    def log_prob(self, value):
        """Return the log-density at a value."""
        z = self._standardize(value)
        return -(z + jnp.exp(-z)) - jnp.log(self.scale)

    def cdf(self, value):
        """Return the probability of at most this value."""
        return standard_gumbel.cdf(self._standardize(value))

    def log_cdf(self, value):
        """Return the log-probability of at most this value."""
        return -jnp.exp(-self._standardize(value))

    def sf(self, value):
        """Return the probability of more than this value."""
        return standard_gumbel.sf(self._standardize(value))

    def log_sf(self, value):
        """Return the log-probability of more than this value."""
        return standard_gumbel.log_sf(self._standardize(value))

    def icdf(self, value):
        """Return the point below which this probability lies."""
        return self._place(standard_gumbel.quantile, value)

    def isf(self, value):
        """Return the point above which this probability lies."""
        return self._place(standard_gumbel.upper_quantile, value)

    def icdf_from_log_cdf(self, value):
        """Return the point at which ``log_cdf`` has this value."""
        return self._place(standard_gumbel.quantile_of_log_cdf, value)

    def icdf_from_log_sf(self, value):
        """Return the point at which ``log_sf`` has this value."""
        return self._place(standard_gumbel.quantile_of_log_sf, value)

    def entropy(self):
        """Return the entropy ``log(scale) + 1 + 0.5772...``."""
        return jnp.broadcast_to(jnp.log(self.scale) + (1 + np.euler_gamma), self.batch_shape)

    @property
    def mean(self):
        """The mean ``loc + 0.5772... scale``."""
        return self.loc + np.euler_gamma * self.scale

    @property
    def variance(self):
        """The variance ``pi^2 scale^2 / 6``."""
        return jnp.broadcast_to((math.pi**2 / 6) * jnp.square(self.scale), self.batch_shape)

    @property
    def mode(self):
        """The mode, ``loc``."""
        return jnp.broadcast_to(self.loc, self.batch_shape)

    @property
    def median(self):
        """The median ``loc - scale log(log 2)``."""
        return self.loc - self.scale * math.log(math.log(2))

    def _standardize(self, value):
        return (value - self.loc) / self.scale

    def _place(self, quantile, value):
        return self.loc + self.scale * quantile(jnp.asarray(value, self.loc.dtype))


@register_divergence(Gumbel)
def _kl_gumbel(p, q):
    ratio = p.scale / q.scale
    shift = (q.loc - p.loc) / q.scale
    # Near q = p every term is small, so that their sum keeps its digits.
    return (
        jnp.expm1(shift + gammaln(1 + ratio))
        - shift
        + np.euler_gamma * (ratio - 1)
        - jnp.log(ratio)
    )
