"""Scrambled Sobol points.

SciPy has them too, behind half a second of import, which is most of a first fit that is not
compilation; a test compares the two.
"""

from functools import cache
from importlib import resources

import numpy as np

__all__ = ["MOST_DIMENSIONS", "draw_sobol"]

MOST_DIMENSIONS = 256  # for which the direction numbers are here
_BITS = 30


def draw_sobol(num_points: int, dim: int, rng: np.random.Generator | None) -> np.ndarray:
    """Points of a Sobol sequence, scrambled by a random linear map of their digits and a shift.

    Args:
        num_points: A power of two.
        dim: Number of dimensions, at most ``MOST_DIMENSIONS``.
        rng: Source of the scrambling; None for the points as they are.

    Returns:
        ``[num_points, dim]`` in the unit cube.

    Example:
        >>> np.sort(draw_sobol(4, 2, None), axis=0).tolist()
        [[0.0, 0.0], [0.25, 0.25], [0.5, 0.5], [0.75, 0.75]]

    References:
        Joe, Kuo (2008), Constructing Sobol sequences with better two-dimensional projections,
        SIAM Journal on Scientific Computing 30(5).
        Matousek (1998), On the L2-discrepancy for anchored boxes, Journal of Complexity 14(4).
    """
    digits = _read_directions()[:dim]
    shift = np.zeros(dim, dtype=np.int64)
    if rng is not None:
        # Each digit may be flipped by those before it: strata stay, and points move inside them.
        mixing = np.tril(rng.integers(2, size=(dim, _BITS, _BITS)), -1) + np.eye(_BITS, dtype=int)
        digits = (digits @ mixing.swapaxes(1, 2)) % 2
        shift = rng.integers(2**_BITS, size=dim)
    directions = digits @ (1 << np.arange(_BITS)[::-1])
    points = shift[None]
    for column in directions.T[: num_points.bit_length() - 1]:
        points = np.concatenate([points, points ^ column])
    return points / 2.0**_BITS


@cache
def _read_directions() -> np.ndarray:
    """Binary digits of the direction numbers, the highest first: ``[dim, number, digit]``."""
    file = resources.files("ppl_ext.gaussian_vi").joinpath("sobol_directions.txt")
    numbers = [[1] * _BITS]
    # A line holds a primitive polynomial, as the number that its coefficients spell, and the
    # first direction numbers, as many as its degree; a recursion gives the others.
    for line in file.read_text(encoding="ascii").splitlines():
        polynomial, *first = map(int, line.split())
        degree = len(first)
        for _ in range(_BITS - degree):
            latest = first[-degree] ^ (first[-degree] << degree)
            for lag in range(1, degree):
                if polynomial >> (degree - lag) & 1:
                    latest ^= first[-lag] << lag
            first.append(latest)
        numbers.append(first)
    shifted = np.array(numbers) << np.arange(_BITS)[::-1]
    digits: np.ndarray = shifted[:, :, None] >> np.arange(_BITS)[::-1] & 1
    return digits
