"""The Gumbel distribution cut off above, below, or on both sides."""

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution, constraints
from numpyro.distributions.util import validate_sample

from ppl_ext.numpyro.gumbel.arguments import checking, refuse, widen
from ppl_ext.numpyro.gumbel.noise import signed_uniform
from ppl_ext.numpyro.gumbel.standard_truncated_gumbel import Cut, log_rest

__all__ = ["TruncatedGumbel"]


class TruncatedGumbel(Distribution):
    r"""The Gumbel distribution between two ends, accurate however far they lie in the tails.

    .. math:: e^{-z} - e^{-b} \sim \mathrm{Exp}(1) \text{ below } e^{-a} - e^{-b}, \quad
        z = (x - \text{loc}) / \text{scale}

    The ends ``a < z < b`` are ``lower`` and ``upper`` standardised. Perturbed logits below a known
    maximum are of this kind. Where neither end is wanted, use ``Gumbel``.

    Args:
        loc: Location: the mode, were there no ends. Shape ``(*batch,)``.
        scale: Scale, positive. Shape ``(*batch,)``.
        upper: Upper end, finite. Shape ``(*batch,)``; None where there is none.
        lower: Lower end, finite and below ``upper``. Shape ``(*batch,)``; None where there is
            none.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: The scale is not positive, an end is not finite, the ends are not in order, or
            an argument is NaN.

    Example:
        >>> import jax
        >>> cut = TruncatedGumbel(0.0, 1.0, upper=-3.0)
        >>> x = cut.sample(jax.random.key(0), (1000,))
        >>> bool((x <= -3.0).all()), round(float(cut.mean), 4)
        (True, -3.0475)

    References:
        Maddison, Tarlow, Minka (2014), A* Sampling, NeurIPS, arXiv:1411.0030.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    pytree_data_fields = ("loc", "scale", "upper", "lower")
    reparametrized_params = ("loc", "scale", "upper", "lower")

    def __init__(
        self,
        loc: jax.Array | float = 0.0,
        scale: jax.Array | float = 1.0,
        upper: jax.Array | float | None = None,
        lower: jax.Array | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        _check_ends(upper, lower, validate_args)
        given = [each for each in (loc, scale, upper, lower) if each is not None]
        dtype = jnp.result_type(*given, 1.0)
        shape = jnp.broadcast_shapes(*map(jnp.shape, given))
        self.loc, self.scale, self.upper, self.lower = (
            each if each is None else jnp.broadcast_to(jnp.asarray(each, dtype), shape)
            for each in (loc, scale, upper, lower)
        )
        super().__init__(shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        """The numbers between the ends."""
        if self.upper is not None and self.lower is not None:
            return constraints.interval(self.lower, self.upper)
        if self.upper is not None:
            return constraints.less_than_eq(self.upper)
        return constraints.real if self.lower is None else constraints.greater_than_eq(self.lower)

    def sample(self, key, sample_shape=()):
        """Draw with gradients to all parameters."""
        shape = (*sample_shape, *self.batch_shape)
        uniform = signed_uniform(key, shape, widen(self.loc).dtype, False)
        near, rest = jnp.log(jnp.abs(uniform)), jnp.log1p(-jnp.abs(uniform))
        below = uniform > 0
        return self._place(jnp.where(below, near, rest), jnp.where(below, rest, near))

    @validate_sample
    def log_prob(self, value):
        """Return the log-density at a value; ``-inf`` beyond the ends."""
        return self._narrow(self._cut.log_density(widen(value)))

    def cdf(self, value):
        """Return the probability of at most this value."""
        return self._narrow(jnp.exp(self._cut.log_cdf(widen(value))))

    def log_cdf(self, value):
        """Return the log-probability of at most this value."""
        return self._narrow(self._cut.log_cdf(widen(value)))

    def sf(self, value):
        """Return the probability of more than this value."""
        return self._narrow(jnp.exp(self._cut.log_sf(widen(value))))

    def log_sf(self, value):
        """Return the log-probability of more than this value."""
        return self._narrow(self._cut.log_sf(widen(value)))

    def icdf(self, value):
        """Return the point below which this probability lies."""
        p = widen(value)
        return self._place(jnp.log(p), jnp.log1p(-p))

    def isf(self, value):
        """Return the point above which this probability lies."""
        q = widen(value)
        return self._place(jnp.log1p(-q), jnp.log(q))

    def icdf_from_log_cdf(self, value):
        """Return the point at which ``log_cdf`` has this value."""
        log_p = widen(value)
        return self._place(log_p, log_rest(-log_p))

    def icdf_from_log_sf(self, value):
        """Return the point at which ``log_sf`` has this value."""
        log_q = widen(value)
        return self._place(log_rest(-log_q), log_q)

    def entropy(self):
        """Return the entropy, by quadrature."""
        return self._narrow(self._cut.entropy())

    @property
    def mean(self):
        """The mean, by quadrature."""
        return self._narrow(self._cut.moments()[0])

    @property
    def variance(self):
        """The variance, by quadrature."""
        return self._narrow(self._cut.moments()[1])

    @property
    def mode(self):
        """The mode: ``loc``, or the end that is nearest to it."""
        return jnp.clip(self.loc, self.lower, self.upper)

    @property
    def median(self):
        """The median."""
        return self.icdf(0.5)

    @property
    def _cut(self):
        given = (self.loc, self.scale, self.upper, self.lower)
        return Cut(*(each if each is None else widen(each) for each in given))

    def _place(self, log_p, log_q):
        return self._narrow(self._cut.quantile(log_p, log_q))

    def _narrow(self, result):
        return result.astype(self.loc.dtype)


def _check_ends(upper, lower, validate_args):
    given = {"upper": upper, "lower": lower}
    known = {
        name: np.asarray(end).astype(float)
        for name, end in given.items()
        if end is not None and checking(validate_args, end)
    }
    for name, end in known.items():
        if not np.isfinite(end).all():
            raise refuse(
                "TruncatedGumbel",
                f"{name} contains {end[~np.isfinite(end)][0]}",
                "a finite end",
                f"Leave {name} out where there is no such end.",
            )
    if len(known) == 2 and not (known["lower"] < known["upper"]).all():
        raise refuse(
            "TruncatedGumbel",
            "found a lower end that is not below the upper",
            "lower < upper in each member of the batch",
            "TruncatedGumbel(loc, scale, upper=upper, lower=lower): upper comes first.",
        )
