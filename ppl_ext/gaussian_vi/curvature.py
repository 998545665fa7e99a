"""The curvature of a log density at a point, from differences of its gradients."""

from collections.abc import Callable

import numpy as np

__all__ = ["measure_curvature", "measure_diagonal_curvature"]

_LogDensity = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def measure_curvature(
    log_density: _LogDensity, points: np.ndarray, precision: type | np.dtype = np.float64
) -> np.ndarray:
    """The negative Hessian of a log density at several points, by central differences.

    A first difference with a step fit for the floating-point type tells each coordinate's
    conditional standard deviation; the second one steps a tenth of that, wide enough to stand
    above rounding and narrow enough to be local.

    Args:
        log_density: ``z[draw, dim] -> (log_p[draw], gradient[draw, dim])``.
        points: ``[point, dim]``.
        precision: Floating-point type in which the density runs.

    Returns:
        ``[point, dim, dim]``, symmetric, with NaN where the density was not finite.

    Example:
        >>> curvature = measure_curvature(lambda z: (-(z**2).sum(-1), -2 * z), np.zeros((1, 2)))
        >>> np.allclose(curvature, [2 * np.eye(2)])
        True
    """
    points = np.asarray(points, dtype=np.float64)
    fine = np.finfo(precision).eps ** (1 / 3) * np.maximum(1e-2, np.abs(points))
    rough = _differentiate(log_density, points, fine)
    diagonal = np.abs(np.diagonal(rough, axis1=1, axis2=2))
    with np.errstate(divide="ignore", invalid="ignore"):
        wide = 0.1 / np.sqrt(diagonal)
    # Beside the kink of a Laplace density the fine step sees a flat one: there the widest looks.
    step = np.where(np.isnan(wide), fine, np.clip(wide, fine, 1.0))
    return _differentiate(log_density, points, step)


def _differentiate(log_density: _LogDensity, points: np.ndarray, step: np.ndarray) -> np.ndarray:
    count, dim = points.shape
    offsets = step[:, :, None] * np.eye(dim)
    ends = np.concatenate([points[:, None] + offsets, points[:, None] - offsets], axis=1)
    _, gradient = log_density(ends.reshape(-1, dim))
    gradient = gradient.reshape(count, 2, dim, dim)
    with np.errstate(over="ignore", invalid="ignore"):
        hessian = (gradient[:, 1] - gradient[:, 0]) / (2 * step[:, :, None])
        symmetric: np.ndarray = 0.5 * (hessian + hessian.transpose(0, 2, 1))
    return symmetric


def measure_diagonal_curvature(
    log_density: _LogDensity,
    point: np.ndarray,
    precision: type | np.dtype,
    rng: np.random.Generator,
    probes: int = 8,
) -> np.ndarray:
    """Estimate the diagonal of the negative Hessian from a few random directions.

    For dimensions in which the whole matrix has no room: off-diagonal entries enter as noise of
    mean zero.

    Args:
        log_density: ``z[draw, dim] -> (log_p[draw], gradient[draw, dim])``.
        point: ``[dim]``.
        precision: Floating-point type in which the density runs.
        rng: Source of the random signs.
        probes: Number of directions.

    Returns:
        ``[dim]``, positive.

    References:
        Bekas, Kokiopoulou, Saad (2007), An estimator for the diagonal of a matrix, Applied
        Numerical Mathematics 57.
    """
    step = np.finfo(precision).eps ** (1 / 3) * np.maximum(1e-2, np.abs(point))
    total = np.zeros_like(point)
    for _ in range(probes):
        signs = rng.choice([-1.0, 1.0], size=point.shape)
        _, (up, down) = log_density(np.stack([point + step * signs, point - step * signs]))
        total += signs * (down - up) / (2 * step)
    diagonal = np.abs(total / probes)
    typical = np.median(diagonal[np.isfinite(diagonal)]) if np.isfinite(diagonal).any() else 1.0
    return np.where(np.isfinite(diagonal), np.maximum(diagonal, 1e-6 * typical + 1e-300), typical)
