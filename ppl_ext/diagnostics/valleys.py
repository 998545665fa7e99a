"""Whether two points of a log density belong to two modes: whether a valley lies between them."""

from collections.abc import Callable

import numpy as np

from ppl_ext.gaussian_vi.ascent import climb

__all__ = ["are_apart"]

_LogDensity = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
_VALLEY = 2.0  # nats by which the density falls between two modes that are two
_ON_THE_WAY = 15
_ROUNDS = 50


def are_apart(
    log_density: _LogDensity, first: np.ndarray, second: np.ndarray, scale: np.ndarray
) -> bool:
    """Whether the density falls by two nats on the way between two points, however it bends.

    Where it falls on the straight way, the way is moved to the ridge: to the highest point of
    each plane across. A neck of a funnel and the arm of a banana are reached along their ridge;
    from one mode to another there is none.

    Args:
        log_density: ``z[draw, dim] -> (log_p[draw], gradient[draw, dim])``.
        first: ``[dim]``.
        second: ``[dim]``.
        scale: Standard deviations ``[dim]`` or Cholesky factor ``[dim, dim]`` of a Gaussian that
            has about the shape of the density; says which planes lie across.

    Returns:
        Whether there is a valley.

    Example:
        >>> def two(z):
        ...     far = np.abs(z[:, 0]) - 5
        ...     return -0.5 * far**2, -(np.sign(z[:, 0]) * far)[:, None]
        >>> are_apart(two, np.array([-5.0]), np.array([5.0]), np.ones(1))
        True

    References:
        E, Ren, Vanden-Eijnden (2007), Simplified and improved string method for computing the
        minimum energy paths in barrier-crossing events, Journal of Chemical Physics 126.
    """
    factor = np.diag(scale) if scale.ndim == 1 else scale
    length = np.linalg.solve(factor, second - first)
    way = np.linspace(0, 1, _ON_THE_WAY)[:, None] * length
    log_p = log_density(first + way @ factor.T)[0]
    if not _falls(log_p):
        return False
    along = length / np.linalg.norm(length)

    def across(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_p, gradient = log_density(first + w @ factor.T)
        gradient = gradient @ factor
        return log_p, gradient - (gradient @ along)[:, None] * along

    ridge = climb(across, way[1:-1], max_rounds=_ROUNDS).log_p
    return _falls(np.concatenate([log_p[:1], ridge, log_p[-1:]]))


def _falls(log_p: np.ndarray) -> bool:
    log_p = np.nan_to_num(log_p, nan=-np.inf)
    return bool(log_p.min() < min(log_p[0], log_p[-1]) - _VALLEY)
