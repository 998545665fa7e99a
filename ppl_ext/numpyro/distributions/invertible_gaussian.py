"""The invertible Gaussian relaxation of a choice."""

import math

import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution, constraints, kl_divergence
from numpyro.distributions.util import validate_sample

from ppl_ext.numpyro.gumbel.arguments import (
    check_axis,
    read_floats,
    read_temperature,
    widen,
)
from ppl_ext.numpyro.gumbel.simplex import rounded_simplex

__all__ = ["InvertibleGaussian"]


class InvertibleGaussian(Distribution):
    r"""Gaussians pushed onto the simplex: a relaxed choice with a divergence in closed form.

    .. math:: x = \mathrm{softmax}(y_1 / \tau, \dots, y_{K-1} / \tau, 0), \quad
        y \sim \mathrm{Normal}(\mu, \sigma), \quad
        \log q(x) = \sum_{k<K} \log \mathrm{Normal}\left(\tau \log \tfrac{x_k}{x_K};
        \mu_k, \sigma_k\right) + (K - 1) \log \tau - \sum_k \log x_k

    A density of the first ``K - 1`` coordinates. The divergence of two is that of their Gaussians
    at whatever temperatures. The probability of each class to be the largest has no closed form:
    where the logits matter, use ``RelaxedOneHotCategorical``. A
    draw comes with its scores as intermediates, which the host hands back to ``log_prob``.

    Args:
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``; the classes
            are no batch.
        loc: Means ``(*batch, class - 1)``; zero favours no class over the last.
        scale: Standard deviations, positive. Broadcasts against ``loc``.
        validate_args: Whether arguments and values are checked; by default as in the host.

    Raises:
        ValueError: A temperature that is not positive or does not broadcast, a scale that is not
            positive, NaN, integers, no axis of classes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> relaxed = InvertibleGaussian(0.1, jnp.zeros(9), jnp.ones(9))
        >>> x, scores = relaxed.sample_with_intermediates(jax.random.key(0), (1000,))
        >>> x.shape, bool(jnp.isfinite(relaxed.log_prob(x, scores)).all())
        ((1000, 10), True)

    References:
        Potapczynski, Loaiza-Ganem, Cunningham (2020), Invertible Gaussian Reparameterization:
        Revisiting the Gumbel-Softmax, NeurIPS, arXiv:1912.09588.
    """

    arg_constraints = {  # noqa: RUF012
        "temperature": constraints.positive,
        "loc": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
    }
    reparametrized_params = ("temperature", "loc", "scale")

    def __init__(
        self,
        temperature: jax.Array | float,
        loc: jax.Array,
        scale: jax.Array | float,
        validate_args: bool | None = None,
    ) -> None:
        name = type(self).__name__
        loc = check_axis(name, "loc", read_floats(name, "loc", loc))
        scale = read_floats(name, "scale", scale, like=loc)
        loc, scale = jnp.broadcast_arrays(loc, scale)
        temperature = read_temperature(name, temperature, loc, loc.shape[:-1], validate_args)
        batch_shape = jnp.broadcast_shapes(temperature.shape, loc.shape[:-1])
        self.temperature = jnp.broadcast_to(temperature, batch_shape)
        self.loc = jnp.broadcast_to(loc, (*batch_shape, loc.shape[-1]))
        self.scale = jnp.broadcast_to(scale, (*batch_shape, loc.shape[-1]))
        super().__init__(batch_shape, (loc.shape[-1] + 1,), validate_args=validate_args)

    @property
    def support(self):
        """The simplex; in half precision up to its rounding."""
        narrow = self.loc.dtype != widen(self.loc).dtype
        return rounded_simplex if narrow else constraints.simplex

    def sample(self, key, sample_shape=()):
        """Draw with gradients to location, scale and temperature."""
        return self.sample_with_intermediates(key, sample_shape)[0]

    def sample_with_intermediates(self, key, sample_shape=()):
        """Draw together with the scores, from which ``log_prob`` is exact."""
        loc, scale = widen(self.loc), widen(self.scale)
        noise = jax.random.normal(key, (*sample_shape, *loc.shape), loc.dtype)
        ratios = (loc + scale * noise) / self.temperature[..., None]
        scores = jnp.pad(ratios, [(0, 0)] * (ratios.ndim - 1) + [(0, 1)])
        return jax.nn.softmax(scores, -1).astype(self.loc.dtype), [scores]

    @validate_sample
    def log_prob(self, value, intermediates=None):
        """Return the log-density at a value on the simplex."""
        log_x = jax.nn.log_softmax(intermediates[0], -1) if intermediates else widen(value)
        log_x = log_x if intermediates else jnp.log(log_x)
        inside = (log_x > -jnp.inf).all(-1)
        log_x = jnp.where(inside[..., None], log_x, 0.0)
        scores = intermediates[0] if intermediates else log_x
        y = self.temperature[..., None] * (scores[..., :-1] - scores[..., -1:])
        z = (y - widen(self.loc)) / widen(self.scale)
        normal = -0.5 * jnp.square(z) - jnp.log(widen(self.scale)) - 0.5 * math.log(2 * math.pi)
        spread = self.loc.shape[-1] * jnp.log(self.temperature)
        density = jnp.where(inside, normal.sum(-1) + spread - log_x.sum(-1), -jnp.inf)
        return density.astype(self.loc.dtype)


@kl_divergence.register(InvertibleGaussian, InvertibleGaussian)
def _kl_invertible_gaussian(p, q):
    p_loc, p_scale = (widen(each) / p.temperature[..., None] for each in (p.loc, p.scale))
    q_loc, q_scale = (widen(each) / q.temperature[..., None] for each in (q.loc, q.scale))
    log_ratio = jnp.log(p_scale) - jnp.log(q_scale)
    shift = jnp.square((p_loc - q_loc) / q_scale)
    terms = 0.5 * (jnp.expm1(2 * log_ratio) + shift) - log_ratio
    return terms.sum(-1).astype(p.loc.dtype)
