"""A standard normal with heavier tails, all around and along every axis."""

import numpy as np
from scipy.special import gammaln, logsumexp

__all__ = ["draw_heavy", "heavy_log_density"]

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
