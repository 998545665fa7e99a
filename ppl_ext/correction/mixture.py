"""The density that the particles' coordinates describe: one part for each mode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ppl_ext.correction.start import draw_heavy, heavy_log_density
from ppl_ext.correction.transport import Transport

__all__ = ["Mixture"]

_TOLD = 1e-3  # relative error of standard coordinates read back from a place
# A point a million sds out may lie beyond the largest number.
_overflow_is_no_news = np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True)
class Mixture:
    """Standard normals with heavier tails, each in the coordinates of its mode.

    Args:
        transports: The coordinates.
        shares: Their shares, summing to one.
    """

    transports: tuple[Transport, ...]
    shares: np.ndarray

    @_overflow_is_no_news
    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points ``[draw, dim]`` and the part of each, ``[draw]``, in random order."""
        positions = (np.arange(count) + rng.uniform()) / count
        label = rng.permutation(np.searchsorted(np.cumsum(self.shares)[:-1], positions, "right"))
        z = np.empty((count, len(self.transports[0].loc)))
        for number, transport in enumerate(self.transports):
            mine = np.flatnonzero(label == number)
            w = draw_heavy(len(mine), z.shape[1], rng)
            z[mine] = points = transport.push(w)
            # A point so far out, or in so thin a neck, that its place does not tell where it came
            # from has no density to be weighed by: another is taken for it.
            told = (np.abs(transport.pull(points) - w) < _TOLD * (1 + np.abs(w))).all(1)
            if told.any():
                z[mine[~told]] = points[rng.choice(np.flatnonzero(told), int((~told).sum()))]
        return z, label

    @_overflow_is_no_news
    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Normalised log density of points, ``[draw]``."""
        log_density: np.ndarray = np.logaddexp.reduce(self._log_parts(z), axis=0)
        return log_density

    @_overflow_is_no_news
    def log_responsibilities(self, z: np.ndarray) -> np.ndarray:
        """Log probabilities of the parts given the points, ``[part, draw]``."""
        log_parts = self._log_parts(z)
        log_responsibilities: np.ndarray = log_parts - np.logaddexp.reduce(log_parts, axis=0)
        return log_responsibilities

    def _log_parts(self, z: np.ndarray) -> np.ndarray:
        log_parts = []
        for share, transport in zip(self.shares, self.transports, strict=True):
            w = transport.pull(z)
            with np.errstate(divide="ignore"):
                log_share = np.log(share)
            log_parts.append(log_share + heavy_log_density(w)[0] - transport.log_det(w))
        # Where a bend overflows both ways, a part has nothing to say of a point of another.
        return np.nan_to_num(np.stack(log_parts), nan=-np.inf, posinf=-np.inf, neginf=-np.inf)
