"""Standard Gumbel noise whose tails are full in every precision."""

import jax
import jax.numpy as jnp

from ppl_ext.numpyro.gumbel.random_bits import random_words

__all__ = ["gumbel_noise"]


def gumbel_noise(
    rng_key: jax.Array,
    shape: tuple[int, ...],
    *,
    dtype: jnp.dtype | None = None,
    exact: bool = False,
) -> jax.Array:
    r"""Draw standard Gumbel noise with both of its tails.

    .. math:: G = -\log(-\log U), \quad U \sim \mathrm{Uniform}(0, 1)

    Both ends of the uniform are resolved to the last random bit, by ``log(u)`` below one half and
    by ``log1p(-u)`` above. Half precision is cast from float32: it rounds the noise, but does not
    cut it off. Do not add logits to noise in half precision; ``gumbel_max`` does it in float32.

    Args:
        rng_key: Random key.
        shape: Shape of the draws.
        dtype: Floating-point type; by default that of the host.
        exact: Spend 64 random bits a draw instead of 32. The noise then reaches from -3.8 to 45
            in place of -3.1 to 22.9, and no value is likelier than ``2^-64`` before rounding.

    Returns:
        Noise of that shape.

    Example:
        >>> import jax
        >>> noise = gumbel_noise(jax.random.key(0), (100_000,), exact=True)
        >>> round(float(noise.mean()), 1), float(noise.max()) > 9
        (0.6, True)
    """
    dtype = jnp.dtype(dtype or jnp.result_type(float))
    wide = jnp.promote_types(dtype, jnp.float32)
    return uniform_to_gumbel(signed_uniform(rng_key, shape, wide, exact)).astype(dtype)


def signed_uniform(rng_key, shape, dtype, exact) -> jax.Array:
    """Draw from ``(-1/2, 1/2)``, never zero, as finely resolved near zero as there are bits."""
    fine = exact or dtype == jnp.float64
    first, *second = [
        random_words(key, shape) for key in (jax.random.split(rng_key) if fine else [rng_key])
    ]
    size = (first & 0x7FFFFFFF).astype(dtype)
    size += (second[0].astype(dtype) + 0.5) * 2.0**-32 if second else 0.5
    return jnp.where(first >> 31, -size, size) * 2.0**-32


def uniform_to_gumbel(uniform: jax.Array) -> jax.Array:
    """Turn ``x`` in ``(-1/2, 1/2)`` into a Gumbel: ``U = x`` above zero, ``U = 1 + x`` below."""
    size = jnp.abs(uniform)
    if uniform.dtype == jnp.float64:
        return -jnp.log(-jnp.where(uniform > 0, jnp.log(size), jnp.log1p(-size)))
    # A few terms of -log(1 - size), where it is small, are half the price of log1p.
    terms = [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6]
    series = size * jnp.polyval(jnp.array(terms[::-1], size.dtype), size, unroll=6)
    exponential = -jnp.log(jnp.where(uniform > 0, size, 1 - size))
    return -jnp.log(jnp.where((uniform < 0) & (size < 1 / 16), series, exponential))
