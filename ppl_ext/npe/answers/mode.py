"""The highest point of a network's density."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["find_mode"]

_STEP = 0.02  # sds to both sides by which a slope is read off: far above what rounding leaves
_STARTS = 4  # the best of the draws


def find_mode(log_density: Callable[[np.ndarray], np.ndarray], draws: np.ndarray) -> np.ndarray:
    """Climb from the best of some draws to the mode.

    Args:
        log_density: ``z[point, dim] -> [point]``.
        draws: Draws of it, ``[draw, dim]``.

    Returns:
        ``[dim]``, within some hundredths of a standard deviation.

    Example:
        >>> draws = np.random.default_rng(0).normal(size=(500, 3))
        >>> mode = find_mode(lambda z: -0.5 * ((z - 1) ** 2).sum(-1), draws)
        >>> mode.round(2).tolist()
        [1.0, 1.0, 1.0]

    References:
        Byrd, Lu, Nocedal, Zhu (1995), A limited memory algorithm for bound constrained
        optimization, SIAM Journal on Scientific Computing 16(5).
    """
    from scipy.optimize import minimize

    scale = draws.std(0)
    aside = np.concatenate([np.eye(len(scale)), -np.eye(len(scale))]) * _STEP * scale

    def descend(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = w * scale
        values = log_density(np.concatenate([z[None], z + aside]))
        up, down = np.split(values[1:], 2)
        return -float(values[0]), (down - up) / (2 * _STEP)

    found = []
    for start in draws[np.argsort(-log_density(draws))[:_STARTS]]:
        end = minimize(descend, start / scale, jac=True, method="L-BFGS-B")
        found.append((float(end.fun), end.x * scale))
    mode: np.ndarray = min(found, key=lambda pair: pair[0])[1]
    return mode
