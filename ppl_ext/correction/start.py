"""Where a correction starts: one Gaussian for each mode, with heavier tails all around."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

__all__ = ["Part", "Start", "draw_heavy", "heavy_log_density"]


@dataclass(frozen=True)
class Part:
    """A Gaussian and a Student t of one centre and scale, half of each.

    Args:
        loc: Centre, ``[dim]``.
        scale_tril: Cholesky factor of the Gaussian's covariance, ``[dim, dim]``.
        log_share: Logarithm of its share in the mixture.
    """

    loc: np.ndarray
    scale_tril: np.ndarray
    log_share: float = 0.0

    def draw(self, num_draws: int, rng: np.random.Generator) -> np.ndarray:
        """Points ``[draw, dim]``."""
        points: np.ndarray = (
            self.loc + draw_heavy(num_draws, len(self.loc), rng) @ self.scale_tril.T
        )
        return points

    def log_density(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density ``[draw]``, its share included, and gradient ``[draw, dim]``."""
        inverse = np.linalg.inv(self.scale_tril)
        log_p, slope = heavy_log_density((z - self.loc) @ inverse.T)
        log_scale = float(np.log(np.diagonal(self.scale_tril)).sum())
        return log_p - log_scale + self.log_share, slope @ inverse


@dataclass(frozen=True)
class Start:
    """A normalised mixture of parts: one for the fitted Gaussian, one for each missed mode.

    Args:
        parts: Their shares sum to one.
    """

    parts: tuple[Part, ...]

    def draw(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Points ``[draw, dim]``, each from the part that its label names."""
        z = np.empty((len(labels), len(self.parts[0].loc)))
        for number, part in enumerate(self.parts):
            mine = labels == number
            z[mine] = part.draw(int(mine.sum()), rng)
        return z

    def share_out(self, num_draws: int, rng: np.random.Generator) -> np.ndarray:
        """Labels ``[draw]``: every part's number as often as its share says, up to one."""
        shares = np.exp([part.log_share for part in self.parts])
        positions = (np.arange(num_draws) + rng.uniform()) / num_draws
        labels: np.ndarray = np.searchsorted(np.cumsum(shares)[:-1], positions, side="right")
        return labels

    def log_density(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density ``[draw]`` and gradient ``[draw, dim]``."""
        if len(self.parts) == 1:
            return self.parts[0].log_density(z)
        pairs = [part.log_density(z) for part in self.parts]
        log_parts = np.stack([log_p for log_p, _ in pairs])
        log_p = np.logaddexp.reduce(log_parts, axis=0)
        shares = np.exp(log_parts - log_p)
        gradient = sum(
            share[:, None] * slope for share, (_, slope) in zip(shares, pairs, strict=True)
        )
        return log_p, np.asarray(gradient)


# Half is the normal, a quarter a Cauchy all around, a quarter a normal of which one coordinate
# follows a wide Student t. No weight against the normal is more than doubled.
_LOG_SHARES = np.log([0.5, 0.25, 0.25])
_FREEDOM = 1.0  # points at every scale: a wide shoulder with little mass is seen as well
_AXIS_FREEDOM, _AXIS_SCALE = 3.0, 1.5


def draw_heavy(num_draws: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Points ``[draw, dim]``, of each kind as often as its share says."""
    e = rng.standard_normal((num_draws, dim))
    kind = (np.arange(num_draws) + rng.integers(4)) % 4
    around, along = np.flatnonzero(kind == 1), np.flatnonzero(kind == 3)
    e[around] *= np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, (len(around), 1)))
    axis = rng.integers(dim, size=len(along))
    e[along, axis] = _AXIS_SCALE * rng.standard_t(_AXIS_FREEDOM, len(along))
    return e


def heavy_log_density(e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log density ``[draw]`` and gradient ``[draw, dim]``."""
    dim = e.shape[1]
    parts = e**2
    squares = parts.sum(1)
    normal = -0.5 * squares - 0.5 * dim * np.log(2 * np.pi)
    around = _log_student(squares, _FREEDOM, dim)
    # A wide coordinate beside its normal: the squares of the others, without a difference in
    # which a large one would cancel.
    others = np.zeros_like(parts)
    others[:, 1:] += np.cumsum(parts, axis=1)[:, :-1]
    others[:, :-1] += np.cumsum(parts[:, ::-1], axis=1)[:, -2::-1]
    scaled = parts / _AXIS_SCALE**2
    axes = _log_student(scaled, _AXIS_FREEDOM, 1) - np.log(_AXIS_SCALE * dim)
    axes -= 0.5 * others + 0.5 * (dim - 1) * np.log(2 * np.pi)
    along = logsumexp(axes, axis=1)
    kinds = np.stack([normal, around, along]) + _LOG_SHARES[:, None]
    log_density = logsumexp(kinds, axis=0)
    shares = np.exp(kinds - log_density)
    pull = shares[0] + shares[1] * (_FREEDOM + dim) / (_FREEDOM + squares) + shares[2]
    shares_of_axes = np.exp(axes - along[:, None])
    lighter = 1 - (_AXIS_FREEDOM + 1) / (_AXIS_SCALE**2 * (_AXIS_FREEDOM + scaled))
    gradient: np.ndarray = e * (shares[2][:, None] * shares_of_axes * lighter - pull[:, None])
    return log_density, gradient


def _log_student(squares: np.ndarray, freedom: float, dim: int) -> np.ndarray:
    log_density: np.ndarray = (
        gammaln(0.5 * (freedom + dim))
        - gammaln(0.5 * freedom)
        - 0.5 * dim * np.log(freedom * np.pi)
        - 0.5 * (freedom + dim) * np.log1p(squares / freedom)
    )
    return log_density
