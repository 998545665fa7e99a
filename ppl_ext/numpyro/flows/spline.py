"""Rational-quadratic splines on an interval, the identity outside of it."""

import math

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["bend", "count_parameters", "unbend"]

_SMALLEST = 1e-3  # width and height of a bin, in shares of the interval, and slope of a knot
# The raw value at which a knot has the slope 1.
_UNIT_SLOPE = math.log(math.expm1(1 - _SMALLEST))


def count_parameters(num_bins: int) -> int:
    """Raw numbers of one spline: widths, heights, and slopes of the inner knots."""
    return 3 * num_bins - 1


def bend(x: jax.Array, raw: jax.Array, bound: float) -> tuple[jax.Array, jax.Array]:
    """Apply splines to numbers.

    Args:
        x: Numbers ``[...]``.
        raw: Unconstrained parameters ``[..., 3 * num_bins - 1]``; zeros make the identity.
        bound: The splines map [-bound, bound] onto itself, with slope 1 at both ends.

    Returns:
        The images and the logarithms of the slopes, ``[...]``.
    """
    lefts, bottoms, slopes, inside, x_in = _read(x, raw, bound)
    x0, x1, y0, y1, d0, d1 = _pick(lefts, (lefts, bottoms), slopes, x_in)
    steepness = (y1 - y0) / (x1 - x0)
    share = jnp.clip((x_in - x0) / (x1 - x0), 0.0, 1.0)
    curved = share * (1 - share)
    rise = (y1 - y0) * (steepness * share**2 + d0 * curved)
    y = y0 + rise / (steepness + (d0 + d1 - 2 * steepness) * curved)
    log_slope = _log_slope(share, steepness, d0, d1)
    return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0.0)


def unbend(y: jax.Array, raw: jax.Array, bound: float) -> tuple[jax.Array, jax.Array]:
    """Undo `bend`.

    Args:
        y: Numbers ``[...]``.
        raw: Unconstrained parameters ``[..., 3 * num_bins - 1]``.
        bound: End of the interval.

    Returns:
        The origins and the logarithms of the slopes of the inverse, ``[...]``.
    """
    lefts, bottoms, slopes, inside, y_in = _read(y, raw, bound)
    x0, x1, y0, y1, d0, d1 = _pick(bottoms, (lefts, bottoms), slopes, y_in)
    steepness = (y1 - y0) / (x1 - x0)
    height = jnp.clip((y_in - y0) / (y1 - y0), 0.0, 1.0)
    bulge = height * (d0 + d1 - 2 * steepness)
    # The root of a quadratic equation, in the form that does not cancel.
    a, b, c = steepness - d0 + bulge, d0 - bulge, -steepness * height
    discriminant = jnp.maximum(b**2 - 4 * a * c, jnp.finfo(b.dtype).tiny ** 0.5)
    share = jnp.clip(2 * c / (-b - jnp.sqrt(discriminant)), 0.0, 1.0)
    log_slope = -_log_slope(share, steepness, d0, d1)
    x = x0 + share * (x1 - x0)
    return jnp.where(inside, x, y), jnp.where(inside, log_slope, 0.0)


def _read(values, raw, bound):
    """Knots in both directions, slopes at them, and the values, those outside made harmless."""
    num_bins = (raw.shape[-1] + 1) // 3
    widths, heights, slopes = jnp.split(raw, (num_bins, 2 * num_bins), -1)
    slopes = _SMALLEST + jax.nn.softplus(slopes + _UNIT_SLOPE)
    ends = [(0, 0)] * (slopes.ndim - 1) + [(1, 1)]
    slopes = jnp.pad(slopes, ends, constant_values=1.0)
    inside = jnp.abs(values) < bound
    # Outside the gradient of what is not taken must be finite too, or it poisons the other.
    harmless = jnp.where(inside, values, 0.0)
    return _knots(widths, bound), _knots(heights, bound), slopes, inside, harmless


def _knots(raw, bound):
    """Increasing knots ``[..., bin + 1]`` from one end of the interval to the other."""
    num_bins = raw.shape[-1]
    shares = _SMALLEST + (1 - _SMALLEST * num_bins) * jax.nn.softmax(raw, -1)
    # A cumulative sum of JAX compiles for minutes here, a product at once.
    before = np.tri(num_bins + 1, num_bins, -1).T
    sums = jnp.matmul(shares, before.astype(raw.dtype), precision="highest")
    last = np.arange(num_bins + 1) == num_bins
    return jnp.where(last, bound, bound * (2 * sums - 1))


def _pick(knots, both, slopes, values):
    """Corners and slopes of the bin in which every value lies."""
    # The inner knots that are not above the value: the number of its bin.
    bins = jnp.sum(values[..., None] >= knots[..., 1:-1], -1, keepdims=True)

    def take(row, end):
        return jnp.take_along_axis(row, bins + end, -1)[..., 0]

    (x, y), d = both, slopes
    return tuple(take(row, end) for row in (x, y, d) for end in (0, 1))


def _log_slope(share, steepness, d0, d1):
    """Logarithm of the slope of `bend`, at a share of the width of the bin."""
    curved = share * (1 - share)
    numerator = d1 * share**2 + 2 * steepness * curved + d0 * (1 - share) ** 2
    denominator = steepness + (d0 + d1 - 2 * steepness) * curved
    return 2 * jnp.log(steepness) + jnp.log(numerator) - 2 * jnp.log(denominator)
