"""Optimisation paths up a log density, all of them in step, and its curvature at a point."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

__all__ = ["Ascent", "climb", "measure_curvature", "measure_diagonal_curvature"]

_MEMORY = 20  # pairs of the limited-memory Hessian
_ARMIJO = 1e-4
_LogDensity = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Ascent:
    """Where optimisation paths ended.

    Args:
        points: ``[start, dim]``, the last point of each path.
        log_p: ``[start]``, log density there.
        gain: ``[start]``, predicted rise of the log density still to come, in nats; below the
            tolerance where a path ended at a mode.
    """

    points: np.ndarray
    log_p: np.ndarray
    gain: np.ndarray


def climb(
    log_density: _LogDensity,
    starts: np.ndarray,
    *,
    max_rounds: int = 150,
    tolerance: float = 1e-2,
) -> Ascent:
    """Climb a log density from several starts by L-BFGS, one batch of gradients a round.

    The paths run in step because a batch of gradients costs hardly more than one. Each keeps its
    own limited-memory Hessian and backtracking line search. A path ends where its predicted gain,
    half the Newton decrement, is below ``tolerance`` nats: a Gaussian approximation needs no
    sharper mode.

    Args:
        log_density: ``z[draw, dim] -> (log_p[draw], gradient[draw, dim])``.
        starts: ``[start, dim]``; points where the density is not finite stay where they are.
        max_rounds: Most batches of gradients.
        tolerance: Predicted gain at which a path ends, in nats.

    Returns:
        The ends of the paths.

    Example:
        >>> path = climb(lambda z: (-0.5 * (z**2).sum(-1), -z), np.full((2, 3), 5.0))
        >>> bool(np.abs(path.points).max() < 0.2)
        True

    References:
        Liu, Nocedal (1989), On the limited memory BFGS method, Mathematical Programming 45.
        Byrd, Nocedal, Schnabel (1994), Representations of quasi-Newton matrices and their use in
        limited memory methods, Mathematical Programming 63.
    """
    # A point far out may overflow its own products; its path then steps back or ends there.
    with np.errstate(over="ignore", invalid="ignore"):
        return _climb(log_density, starts, max_rounds, tolerance)


def _climb(
    log_density: _LogDensity, starts: np.ndarray, max_rounds: int, tolerance: float
) -> Ascent:
    paths = [_Path(start) for start in np.asarray(starts, dtype=np.float64)]
    active = list(paths)
    for _ in range(max_rounds):
        log_p, gradient = log_density(np.stack([path.trial for path in active]))
        for path, value, slope in zip(active, log_p, gradient, strict=True):
            path.receive(float(value), slope, tolerance)
        active = [path for path in active if not path.done]
        if not active:
            break
    return Ascent(
        points=np.stack([path.point for path in paths]),
        log_p=np.array([path.log_p for path in paths]),
        gain=np.array([path.gain for path in paths]),
    )


class _Path:
    """One path: it asks for the density at ``trial`` and is told it by ``receive``."""

    def __init__(self, start: np.ndarray) -> None:
        self.trial = start
        self.point = start
        self.log_p = -np.inf
        self.gain = np.inf
        self.done = False
        self._gradient = np.zeros_like(start)
        self._direction = np.zeros_like(start)
        self._slope = 0.0
        self._step = 1.0
        self._hessian = _LimitedMemory(len(start))

    def receive(self, log_p: float, gradient: np.ndarray, tolerance: float) -> None:
        finite = np.isfinite(log_p) and bool(np.isfinite(gradient).all())
        if not finite and self.log_p == -np.inf:
            self.done = True
        elif not finite or log_p < self.log_p + _ARMIJO * self._step * self._slope:
            self._backtrack(log_p if finite else -np.inf)
        else:
            self._accept(log_p, gradient, tolerance)

    def _backtrack(self, log_p: float) -> None:
        # The parabola through value, slope and trial; a tenth where the trial was not finite.
        shortfall = self.log_p + self._step * self._slope - log_p
        shrink = 0.5 * self._step * self._slope / shortfall if np.isfinite(shortfall) else 0.1
        self._step *= float(np.clip(shrink, 0.1, 0.5))
        self.trial = self.point + self._step * self._direction
        # Rounding, not the density, now decides: this is as high as the precision allows.
        self.done = self._step * self._slope <= 1e-9 * abs(self.log_p)

    def _accept(self, log_p: float, gradient: np.ndarray, tolerance: float) -> None:
        step, turn = self.trial - self.point, self._gradient - gradient
        if step @ turn > 1e-12 * np.linalg.norm(step) * np.linalg.norm(turn):
            self._hessian.learn(step, turn)
        self.point, self.log_p, self._gradient = self.trial, log_p, gradient
        self._direction = self._hessian.solve(gradient)
        self._slope = float(self._direction @ gradient)
        self.gain = 0.5 * self._slope
        first = 1.0 / max(1.0, float(np.linalg.norm(gradient)))
        self._step = 1.0 if len(self._hessian.steps) else first
        self.trial = self.point + self._step * self._direction
        self.done = self.gain < tolerance


class _LimitedMemory:
    """Inverse of the negative Hessian from the last steps and the turns of the gradient there.

    The compact form of Byrd, Nocedal and Schnabel (1994): products with two thin matrices and
    triangular systems as small as the memory, instead of a loop over the pairs.
    """

    def __init__(self, dim: int) -> None:
        self.steps = np.empty((0, dim))
        self.turns = np.empty((0, dim))

    def learn(self, step: np.ndarray, turn: np.ndarray) -> None:
        self.steps = np.concatenate([self.steps[1 - _MEMORY :], step[None]])
        self.turns = np.concatenate([self.turns[1 - _MEMORY :], turn[None]])
        products = self.steps @ self.turns.T
        self._upper = np.triu(products)
        self._diagonal = np.diagonal(products)
        self._gram = self.turns @ self.turns.T
        self._unit = float(self._diagonal[-1] / self._gram[-1, -1])

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        if not len(self.steps):
            return gradient
        along = solve_triangular(self._upper, self.steps @ gradient)
        curved = self._diagonal * along + self._unit * (self._gram @ along - self.turns @ gradient)
        weights = solve_triangular(self._upper, curved, trans="T")
        direction: np.ndarray = (
            self._unit * gradient + weights @ self.steps - self._unit * (along @ self.turns)
        )
        return direction


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
    step = np.where(np.isfinite(wide), np.clip(wide, fine, 1.0), fine)
    return _differentiate(log_density, points, step)


def _differentiate(log_density: _LogDensity, points: np.ndarray, step: np.ndarray) -> np.ndarray:
    count, dim = points.shape
    offsets = step[:, :, None] * np.eye(dim)
    ends = np.concatenate([points[:, None] + offsets, points[:, None] - offsets], axis=1)
    _, gradient = log_density(ends.reshape(-1, dim))
    gradient = gradient.reshape(count, 2, dim, dim)
    with np.errstate(invalid="ignore"):
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
