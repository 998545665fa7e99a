"""The way back from coordinates that are bounded values, in the host."""

import jax
import jax.numpy as jnp
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform

__all__ = ["Unclip"]


class Unclip(Transform):
    """The inverse of a `ppl_ext.npe.soft_clip.SoftClip`: from its coordinates to logits.

    Args:
        softness: Of each coordinate, ``[dim]``; infinite where they are logits as they are.
    """

    domain = codomain = constraints.real_vector

    def __init__(self, softness: jax.Array) -> None:
        self.softness = softness

    def __eq__(self, other):
        return isinstance(other, Unclip) and bool(jnp.array_equal(self.softness, other.softness))

    def __call__(self, x):
        """Return logits."""
        bent, s = self._read()
        return jnp.where(bent, _log_clip(x, s) - _log_clip(1 - x, s), x)

    def _inverse(self, y):
        bent, s = self._read()
        low, high = jax.nn.log_sigmoid(y), jax.nn.log_sigmoid(-y)
        return jnp.where(bent, jnp.exp(low) + s * (_log_rise(low, s) - _log_rise(high, s)), y)

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        """Return the log determinant ``[...]`` at coordinates ``x[..., dim]`` and their logits."""
        bent, s = self._read()
        low, high = jax.nn.log_sigmoid(y), jax.nn.log_sigmoid(-y)
        both = jnp.log1p(-jnp.exp(-1 / s)) - _log_rise(low, s) - _log_rise(high, s)
        return -jnp.where(bent, low + high + both, 0.0).sum(-1)

    def tree_flatten(self):
        """Take apart for JAX."""
        return (self.softness,), (("softness",), {})

    def _read(self):
        bent = jnp.isfinite(self.softness)
        return bent, jnp.where(bent, self.softness, 1.0)


def _log_rise(log_distance, s):
    """``log(1 - exp(-distance / s))``, also where the distance is less than any number."""
    ratio = jnp.exp(log_distance) / s
    small = ratio < 1e-6
    # What is not taken must have a finite gradient too.
    exact = jnp.log(-jnp.expm1(-jnp.where(small, 1.0, ratio)))
    return jnp.where(small, log_distance - jnp.log(s), exact)


def _log_clip(x, s):
    """Logarithm of the distance to a bound at coordinates ``x`` from it."""
    inner = x / s + jnp.log(-jnp.expm1(-1 / s)) - jax.nn.softplus((x - 1) / s)
    small = inner < -15
    exact = jnp.log(jax.nn.softplus(jnp.where(small, 0.0, inner)))
    return jnp.log(s) + jnp.where(small, inner, exact)
