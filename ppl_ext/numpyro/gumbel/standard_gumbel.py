"""The standard Gumbel distribution to the last digits, in both of its tails."""

import math

import jax
import jax.numpy as jnp
from jax.lax import optimization_barrier, reduce_precision, stop_gradient

from ppl_ext.estimators.gumbel_constants import (
    INV_E,
    LN2_HIGH,
    LN2_LOW,
    LOG_REST,
    REST,
    SERIES,
    split,
)


def cdf(z: jax.Array) -> jax.Array:
    """Return ``exp(-exp(-z))``; an error of ``exp(-z)`` would show ``exp(-z)``-fold in it."""
    plain = jnp.exp(-jnp.exp(-z))
    return _exp_minus_exp(stop_gradient(-z)) + (plain - stop_gradient(plain))


def sf(z: jax.Array) -> jax.Array:
    """Return ``1 - exp(-exp(-z))``."""
    # XLA's expm1 has an error of five units in the last place at small arguments.
    far = z > 0.7
    t = jnp.exp(-z)
    return jnp.where(
        far, _keep(t) * jnp.exp(log_mean_survival(jnp.where(far, t, 0.5))), 1 - jnp.exp(-t)
    )


def log_sf(z: jax.Array) -> jax.Array:
    """Return ``log(1 - exp(-exp(-z)))``."""
    far = z > 0.7
    t = jnp.exp(-jnp.where(far, z, 0.7))
    return jnp.where(far, log_mean_survival(t) - z, _log_rest(cdf(jnp.where(far, 0.7, z))))


def quantile(p: jax.Array) -> jax.Array:
    """Return the point below which a share ``p`` lies."""
    high, low = split(INV_E, p.dtype == jnp.float32)
    return _near_zero(math.e * (_keep(p - high) - low), -jnp.log(-jnp.log(p)))


def upper_quantile(q: jax.Array) -> jax.Array:
    """Return the point above which a share ``q`` lies."""
    high, low = split(REST, q.dtype == jnp.float32)
    return _near_zero(math.e * (_keep(high - q) + low), -jnp.log(-_log_rest(q)))


def quantile_of_log_cdf(log_p: jax.Array) -> jax.Array:
    """Return the point at which the distribution function has this logarithm."""
    return -jnp.log(-log_p)


def quantile_of_log_sf(log_q: jax.Array) -> jax.Array:
    """Return the point at which the survival function has this logarithm."""
    high, low = split(LOG_REST, log_q.dtype == jnp.float32)
    centre = (1 - math.e) * jnp.expm1(_keep(log_q - high) - low)
    far = log_q < -1
    q = jnp.exp(jnp.where(far, log_q, -1.0))
    # -log(1 - q) = q (1 + q/2 + ...): its logarithm keeps what log q says beyond a float's range.
    q = jnp.maximum(q, 1e-20)
    excess = jnp.log(-_log_rest(q) / q)
    near = -jnp.log(-jnp.log(-jnp.expm1(jnp.where(far, -1.0, log_q))))
    return _near_zero(centre, jnp.where(far, -log_q - excess, near))


def log_mean_survival(t):
    """Return ``log((1 - exp(-t)) / t)`` for small ``t``."""
    return sum(weight * t**power for power, weight in SERIES.items())


def _near_zero(centre, plain):
    """Replace ``-log(-log p)`` near its zero ``p = 1/e``, where ``centre`` is ``e p - 1``."""
    close = jnp.abs(centre) < 0.45
    return jnp.where(close, -_log_rest(_log_rest(-jnp.where(close, centre, 0.0))), plain)


def _log_rest(q):
    """Return ``log(1 - q)``; XLA's ``log1p`` loses two digits between 0.29 and 0.5."""
    return jnp.where(q > 0.25, jnp.log(1 - q), jnp.log1p(-jnp.minimum(q, 0.25)))


def _keep(rounded):
    """Keep the compiler from rewriting sums and products whose rounding is meant."""
    return optimization_barrier(rounded)


def _exp_minus_exp(y):
    """Return ``exp(-exp(y))``, the inner exponential carried in two floats where it is above 1."""
    plain = jnp.exp(-jnp.exp(y))
    inside = jnp.clip(y, 0.0, 8.0)  # beyond, the result is zero in every precision
    power = jnp.round(inside / math.log(2))
    r, r_low = inside - power * LN2_HIGH, -power * LN2_LOW
    # Half of r as a few leading bits, whose square is exact, and the rest.
    lead = reduce_precision(r, *((8, 10) if r.dtype == jnp.float32 else (11, 25)))
    square, square_low = 0.5 * lead * lead, 0.5 * (r - lead) * (r + lead)
    tail = jnp.zeros_like(r)
    for n in range(16, 2, -1):
        tail = (tail * r) + 1 / math.factorial(n)
    first = _keep(1 + r)
    second = _keep(first + square)
    low = (r - (first - 1)) + (square - (second - first)) + square_low + tail * r**3
    scale = jnp.ldexp(jnp.ones_like(r), power.astype(int))
    low = low + (second + low) * jnp.expm1(r_low)
    carried = _keep(jnp.exp(-second * scale)) * jnp.exp(-low * scale)
    return jnp.where(y > 0, carried, plain)
