"""Coordinates in which the particles look like a standard normal: affine, bent and tilted.

A funnel is narrow where one coordinate is small, a banana bends with the square of another. Both
are regressions that the particles themselves can tell: of a coordinate's mean on the squares, and
of the logarithm of its scale on the values, of those before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Transport", "fit_transport"]

_SIGNIFICANT = 4.0  # standard errors at which a dependence is believed
_MOST_PARENTS = 6
_ROUNDS = 4
_BOUND = 3.0  # sds; what lies beyond has no say in which dependences there are
_FAR = 10.0  # sds of the bulk
_OUTLIER = 9.0  # squared residuals count as no more
_TINY = 1e-6  # a residual as small is no news of the scale
_WIDEST = 12.0  # a log scale counts as no more


@dataclass(frozen=True)
class Bends:
    r"""The part of a map that is not affine.

    ``u_j = offset_j + sum_i lean_ji u_i + sum_i bend_ji (u_i^2 - 1) + exp(s_j) w_j`` with
    ``s_j = level_j + sum_i tilt_ji u_i``, where each coordinate depends on earlier layers only.

    Args:
        offset: ``[dim]``.
        lean: ``[dim, dim]``, row ``j`` what moves coordinate ``j``.
        bend: ``[dim, dim]``, row ``j`` whose squares move coordinate ``j``.
        level: ``[dim]``.
        tilt: ``[dim, dim]``, row ``j`` what widens coordinate ``j``.
        layers: Coordinates that depend on others, those first on which others depend.
    """

    offset: np.ndarray
    lean: np.ndarray
    bend: np.ndarray
    level: np.ndarray
    tilt: np.ndarray
    layers: tuple[np.ndarray, ...] = ()

    @classmethod
    def none(cls, dim: int) -> Bends:
        """The identity."""
        square = (dim, dim)
        return cls(
            np.zeros(dim), np.zeros(square), np.zeros(square), np.zeros(dim), np.zeros(square)
        )

    def push(self, w: np.ndarray) -> np.ndarray:
        """``u`` from ``w``, both ``[draw, dim]``."""
        u = w.copy()
        for layer in self.layers:
            spread = np.exp(self.level[layer] + u @ self.tilt[layer].T)
            shift = self.offset[layer] + u @ self.lean[layer].T + (u**2 - 1) @ self.bend[layer].T
            u[:, layer] = shift + spread * w[:, layer]
        return u

    def pull(self, u: np.ndarray) -> np.ndarray:
        """``w`` from ``u``."""
        shift = self.offset + u @ self.lean.T + (u**2 - 1) @ self.bend.T
        w: np.ndarray = (u - shift) * np.exp(-self.level - u @ self.tilt.T)
        return w

    def log_det(self, u: np.ndarray) -> np.ndarray:
        """Log determinant of the derivative of `push`, ``[draw]``."""
        log_det: np.ndarray = (self.level + u @ self.tilt.T).sum(1)
        return log_det

    def chain(self, w: np.ndarray, u: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Gradient in ``w`` of a density with gradient ``slope`` in ``u``, `log_det` included."""
        back = slope.copy()
        for layer in reversed(self.layers):
            spread = np.exp(self.level[layer] + u @ self.tilt[layer].T)
            pull = back[:, layer]
            wider = pull * spread * w[:, layer] + 1
            back += pull @ self.lean[layer] + 2 * u * (pull @ self.bend[layer])
            back += wider @ self.tilt[layer]
            back[:, layer] = pull * spread
        return back


@dataclass(frozen=True)
class Transport:
    """A triangular map from standard coordinates ``w`` to ``z = loc + factor u(w)``.

    Args:
        loc: ``[dim]``.
        factor: ``[dim, dim]``.
        inverse: Its inverse.
        bends: What is not affine.
    """

    loc: np.ndarray
    factor: np.ndarray
    inverse: np.ndarray
    bends: Bends

    def push(self, w: np.ndarray) -> np.ndarray:
        """Points ``[draw, dim]`` from standard coordinates."""
        points: np.ndarray = self.loc + self.bends.push(w) @ self.factor.T
        return points

    def pull(self, z: np.ndarray) -> np.ndarray:
        """Standard coordinates of points."""
        return self.bends.pull((z - self.loc) @ self.inverse.T)

    def log_det(self, w: np.ndarray) -> np.ndarray:
        """Log determinant of the derivative of `push`, ``[draw]``."""
        return self.bends.log_det(self.bends.push(w)) - np.linalg.slogdet(self.inverse)[1]

    def value_and_slope(
        self, w: np.ndarray, value: np.ndarray, slope: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """A density on ``z`` and its gradient as one on ``w``, up to a constant."""
        u = self.bends.push(w)
        return value + self.bends.log_det(u), self.bends.chain(w, u, slope @ self.factor)


def fit_transport(z: np.ndarray, loc: np.ndarray, scale_tril: np.ndarray) -> Transport:
    """Learn the map from particles.

    The order of coordinates matters: that of the model, where parents come before children, and
    its reverse are tried.

    Args:
        z: Particles, ``[particle, dim]``.
        loc: A centre known before, for few particles.
        scale_tril: A scale known before, ``[dim, dim]``.

    Returns:
        The map under which the particles have the higher density.
    """
    dim = z.shape[1]
    distinct = len(np.unique(z[:, 0]))
    if distinct <= 2:
        return _build(loc, scale_tril, Bends.none(dim))
    z = _pull_in(z)
    prior = scale_tril @ scale_tril.T
    covariance = (distinct * np.cov(z.T).reshape(dim, dim) + dim * prior) / (distinct + dim)
    centre = z.mean(0)
    best, most = Bends.none(dim), -np.inf
    for order in (np.arange(dim), np.arange(dim)[::-1]):
        lower = np.zeros((dim, dim))
        lower[np.ix_(order, order)] = np.linalg.cholesky(covariance[np.ix_(order, order)])
        u = np.linalg.solve(lower, (z - centre).T).T
        bends, gain = _find_bends(u, order, distinct)
        if gain > most:
            factor, best, most = lower, bends, gain
    return _build(centre, factor, best)


def _pull_in(z: np.ndarray) -> np.ndarray:
    """Particles with those far out brought nearer: one of a Cauchy's may be all the variance."""
    low, middle, high = np.quantile(z, [0.16, 0.5, 0.84], axis=0)
    spread = np.where(high > low, 0.5 * (high - low), z.std(0))
    return np.clip(z, middle - _FAR * spread, middle + _FAR * spread)


def _build(loc: np.ndarray, factor: np.ndarray, bends: Bends) -> Transport:
    return Transport(loc, factor, np.linalg.inv(factor), bends)


def _find_bends(u: np.ndarray, order: np.ndarray, distinct: int) -> tuple[Bends, float]:
    """The dependences that are significant, and their mean gain in log density."""
    dim = u.shape[1]
    found = Bends.none(dim)
    depth = np.zeros(dim, dtype=int)
    least = _SIGNIFICANT / np.sqrt(distinct)
    bounded = np.clip(u, -_BOUND, _BOUND)
    bent, tilted = _standardize(bounded**2), _standardize(bounded)
    gain = 0.0
    for place in range(1, dim):
        j, before = order[place], order[:place]
        bends = before[_choose(bent[:, before], bounded[:, j], least)]
        squares = np.column_stack([np.ones(len(u)), u[:, bends] ** 2 - 1])
        shift = squares @ _regress(squares, u[:, j], np.ones(len(u)))
        size = np.log(np.abs(u[:, j] - shift) + _TINY)
        tilts = before[_choose(tilted[:, before], size, least)]
        if not len(bends) and not len(tilts):
            continue
        # Whatever widens a coordinate may bend it: a residual where the scale is small would
        # hide how small it is.
        bends, leans = np.union1d(bends, tilts), tilts
        squares = np.column_stack([np.ones(len(u)), u[:, bends] ** 2 - 1])
        wide = np.column_stack([np.ones(len(u)), u[:, tilts]])
        spread = _regress(wide, size, np.ones(len(u)))
        for _ in range(_ROUNDS):
            # Where the scale is small the centre has to be right: regress with those weights.
            weight = np.exp(-2 * _bound(wide @ spread))
            residual = (u[:, j] - shift) * np.sqrt(weight)
            leans = np.union1d(leans, before[_choose(tilted[:, before], residual, least)])
            features = np.column_stack([squares, u[:, leans]])
            centre = _regress(features, u[:, j], weight)
            shift = features @ centre
            residual = (u[:, j] - shift) * np.sqrt(weight)
            spread += _regress(
                wide, 0.5 * (np.minimum(residual**2, _OUTLIER) - 1), np.ones(len(u))
            )
        found.offset[j], found.bend[j, bends] = centre[0], centre[1 : 1 + len(bends)]
        found.lean[j, leans] = centre[1 + len(bends) :]
        found.level[j], found.tilt[j, tilts] = spread[0], spread[1:]
        log_spread = _bound(wide @ spread)
        residual = (u[:, j] - shift) * np.exp(-log_spread)
        gain += float(np.mean(0.5 * u[:, j] ** 2 - 0.5 * residual**2 - log_spread))
        depth[j] = 1 + int(depth[np.concatenate([bends, tilts, leans])].max())
    layers = tuple(np.flatnonzero(depth == d) for d in range(1, int(depth.max()) + 1))
    return replace(found, layers=layers), gain


def _bound(log_spread: np.ndarray) -> np.ndarray:
    return np.clip(log_spread, -_WIDEST, _WIDEST)


def _choose(features: np.ndarray, outcome: np.ndarray, least: float) -> np.ndarray:
    """Columns that correlate with the outcome beyond chance, the strongest few."""
    correlation = np.abs(_standardize(outcome[:, None])[:, 0] @ features) / len(outcome)
    strongest = np.argsort(-correlation)[:_MOST_PARENTS]
    return np.asarray(strongest[correlation[strongest] > least])


def _regress(features: np.ndarray, outcome: np.ndarray, weights: np.ndarray) -> np.ndarray:
    weighted = features * weights[:, None]
    gram = weighted.T @ features
    gram += 1e-9 * np.trace(gram) * np.eye(len(gram))
    solution: np.ndarray = np.linalg.solve(gram, weighted.T @ outcome)
    return solution


def _standardize(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(0)
    scaled: np.ndarray = centred / np.maximum(centred.std(0), 1e-12)
    return scaled
