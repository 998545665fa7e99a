"""Where the particles begin: the fitted Gaussian with heavier tails, and the modes it misses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ppl_ext.correction.heavy_normal import draw_heavy, heavy_log_density

__all__ = ["Part", "Start"]


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
