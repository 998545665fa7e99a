"""Optimisation paths up a log density, all of them in step."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Ascent", "climb"]

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
    wait: float = np.inf,
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
        wait: Rounds that the last quarter of the paths is waited for, in units of those that the
            others took; ten more are granted.

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
    paths = _Paths(np.array(starts, dtype=np.float64))
    # A point far out may overflow its own products; its path then steps back or ends there.
    with np.errstate(over="ignore", invalid="ignore"):
        patience = np.inf
        for done in range(max_rounds):
            active = np.flatnonzero(~paths.done)
            if not len(active) or done > patience:
                break
            if patience == np.inf and len(active) <= len(starts) // 4:
                patience = 10 + (1 + wait) * done
            paths.receive(active, *log_density(paths.trial[active]), tolerance)
    return Ascent(paths.point, paths.log_p, paths.gain)


class _Paths:
    """All paths: each asks for the density at its ``trial`` and is told it by ``receive``."""

    def __init__(self, starts: np.ndarray) -> None:
        count = len(starts)
        self.trial = starts
        self.point = starts.copy()
        self.log_p = np.full(count, -np.inf)
        self.gain = np.full(count, np.inf)
        self.done = np.zeros(count, dtype=bool)
        self._gradient = np.zeros_like(starts)
        self._direction = np.zeros_like(starts)
        self._slope = np.zeros(count)
        self._step = np.ones(count)
        self._hessian = _LimitedMemory(*starts.shape)

    def receive(
        self, active: np.ndarray, log_p: np.ndarray, gradient: np.ndarray, tolerance: float
    ) -> None:
        finite = np.isfinite(log_p) & np.isfinite(gradient).all(axis=1)
        hopeless = ~finite & (self.log_p[active] == -np.inf)
        enough = self.log_p[active] + _ARMIJO * self._step[active] * self._slope[active]
        back = ~hopeless & (~finite | (log_p < enough))
        self.done[active[hopeless]] = True
        self._backtrack(active[back], np.where(finite, log_p, -np.inf)[back])
        forth = ~hopeless & ~back
        self._accept(active[forth], log_p[forth], gradient[forth], tolerance)

    def _backtrack(self, rows: np.ndarray, log_p: np.ndarray) -> None:
        # The parabola through value, slope and trial; a tenth where the trial was not finite.
        rise = self._step[rows] * self._slope[rows]
        shortfall = self.log_p[rows] + rise - log_p
        shrink = np.where(np.isfinite(shortfall), 0.5 * rise / shortfall, 0.1)
        self._step[rows] *= np.clip(shrink, 0.1, 0.5)
        self.trial[rows] = self.point[rows] + self._step[rows, None] * self._direction[rows]
        # Rounding, not the density, now decides: this is as high as the precision allows.
        rise = self._step[rows] * self._slope[rows]
        self.done[rows] = rise <= 1e-9 * np.abs(self.log_p[rows])

    def _accept(
        self, rows: np.ndarray, log_p: np.ndarray, gradient: np.ndarray, tolerance: float
    ) -> None:
        step, turn = self.trial[rows] - self.point[rows], self._gradient[rows] - gradient
        lengths = np.linalg.norm(step, axis=1) * np.linalg.norm(turn, axis=1)
        convex = np.sum(step * turn, axis=1) > 1e-12 * lengths
        self._hessian.learn(rows[convex], step[convex], turn[convex])
        self.point[rows], self.log_p[rows] = self.trial[rows], log_p
        self._gradient[rows] = gradient
        direction = self._hessian.solve(rows, gradient)
        slope = np.sum(direction * gradient, axis=1)
        first = 1.0 / np.maximum(1.0, np.linalg.norm(gradient, axis=1))
        self._step[rows] = np.where(self._hessian.counts[rows] > 0, 1.0, first)
        self._direction[rows], self._slope[rows], self.gain[rows] = direction, slope, 0.5 * slope
        self.trial[rows] = self.point[rows] + self._step[rows, None] * direction
        self.done[rows] = self.gain[rows] < tolerance


class _LimitedMemory:
    """Inverses of the negative Hessian from the last steps and the turns of the gradient there.

    The compact form of Byrd, Nocedal and Schnabel (1994), for all paths at once: products with
    two thin matrices and triangular systems as small as the memory. The latest pair of a path
    comes last; what is not filled yet is zero, with ones on the diagonal of the system.
    """

    def __init__(self, count: int, dim: int) -> None:
        self.counts = np.zeros(count, dtype=int)
        self._steps = np.zeros((count, _MEMORY, dim))
        self._turns = np.zeros((count, _MEMORY, dim))
        self._upper = np.tile(np.eye(_MEMORY), (count, 1, 1))
        self._diagonal = np.zeros((count, _MEMORY))
        self._gram = np.zeros((count, _MEMORY, _MEMORY))
        self._unit = np.ones(count)

    def learn(self, rows: np.ndarray, step: np.ndarray, turn: np.ndarray) -> None:
        for history, latest in ((self._steps, step), (self._turns, turn)):
            history[rows, :-1] = history[rows, 1:]
            history[rows, -1] = latest
        for table in (self._upper, self._gram):
            table[rows, :-1, :-1] = table[rows, 1:, 1:]
            table[rows, -1] = 0.0
        across = _apply(self._steps[rows], turn)
        self._upper[rows, :, -1] = across
        self._diagonal[rows, :-1] = self._diagonal[rows, 1:]
        self._diagonal[rows, -1] = across[:, -1]
        products = _apply(self._turns[rows], turn)
        self._gram[rows, -1] = products
        self._gram[rows, :, -1] = products
        self._unit[rows] = across[:, -1] / products[:, -1]
        self.counts[rows] = np.minimum(self.counts[rows] + 1, _MEMORY)

    def solve(self, rows: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        used = _MEMORY - int(self.counts[rows].max(initial=0))
        steps, turns = self._steps[rows, used:], self._turns[rows, used:]
        upper, unit = self._upper[rows, used:, used:], self._unit[rows, None]
        along = _solve(upper, _apply(steps, gradient))
        curved = self._diagonal[rows, used:] * along + unit * (
            _apply(self._gram[rows, used:, used:], along) - _apply(turns, gradient)
        )
        weights = _solve(upper.swapaxes(1, 2), curved)
        direction: np.ndarray = (
            unit * gradient
            + _apply(steps.swapaxes(1, 2), weights)
            - unit * _apply(turns.swapaxes(1, 2), along)
        )
        return direction


def _apply(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """``[path, row]`` from ``[path, row, column]`` and ``[path, column]``."""
    products: np.ndarray = (matrices @ vectors[:, :, None])[:, :, 0]
    return products


def _solve(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    solutions: np.ndarray = np.linalg.solve(matrices, vectors[:, :, None])[:, :, 0]
    return solutions
