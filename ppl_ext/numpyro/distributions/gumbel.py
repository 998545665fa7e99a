"""The Gumbel distribution, exact in both of its tails."""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from numpyro.distributions import Distribution, constraints, kl_divergence
from numpyro.distributions.util import promote_shapes, validate_sample

from ppl_ext.numpyro.gumbel import standard_gumbel
from ppl_ext.numpyro.gumbel.arguments import widen
from ppl_ext.numpyro.gumbel.noise import gumbel_noise

__all__ = ["Gumbel"]

EULER = 0.5772156649015329


class Gumbel(Distribution):
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
        self.loc, self.scale = promote_shapes(loc, scale)
        batch_shape = jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(scale))
        super().__init__(batch_shape, validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        """Draw with gradients to ``loc`` and ``scale``."""
        wide = jnp.promote_types(self._dtype, jnp.float32)
        noise = gumbel_noise(key, (*sample_shape, *self.batch_shape), dtype=wide)
        return self._narrow(self.loc + self.scale * noise)

    @validate_sample
    def log_prob(self, value):
        """Return the log-density at a value."""
        z = self._standardize(value)
        return self._narrow(-(z + jnp.exp(-z)) - jnp.log(widen(self.scale)))

    def cdf(self, value):
        """Return the probability of at most this value."""
        return self._narrow(standard_gumbel.cdf(self._standardize(value)))

    def log_cdf(self, value):
        """Return the log-probability of at most this value."""
        return self._narrow(-jnp.exp(-self._standardize(value)))

    def sf(self, value):
        """Return the probability of more than this value."""
        return self._narrow(standard_gumbel.sf(self._standardize(value)))

    def log_sf(self, value):
        """Return the log-probability of more than this value."""
        return self._narrow(standard_gumbel.log_sf(self._standardize(value)))

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
        return jnp.broadcast_to(jnp.log(self.scale) + (1 + EULER), self.batch_shape)

    @property
    def mean(self):
        """The mean ``loc + 0.5772... scale``."""
        return self.loc + EULER * jnp.asarray(self.scale)

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
        return self.loc - jnp.asarray(self.scale) * math.log(math.log(2))

    @property
    def _dtype(self):
        return jnp.result_type(self.loc, self.scale, 1.0)

    def _standardize(self, value):
        return (widen(value) - widen(self.loc)) / widen(self.scale)

    def _place(self, quantile, value):
        return self._narrow(self.loc + self.scale * quantile(widen(value)))

    def _narrow(self, result):
        return result.astype(self._dtype)


@kl_divergence.register(Gumbel, Gumbel)
def _kl_gumbel(p, q):
    ratio = p.scale / q.scale
    shift = (q.loc - p.loc) / q.scale
    # Near q = p every term is small, so that their sum keeps its digits.
    return jnp.expm1(shift + gammaln(1 + ratio)) - shift + EULER * (ratio - 1) - jnp.log(ratio)
