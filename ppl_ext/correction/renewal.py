"""Fresh points from the density that particles describe, weighted to the posterior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ppl_ext.correction.mixture import Mixture
from ppl_ext.correction.path import Particles, Path
from ppl_ext.correction.temperatures import effective_share, pool_evidence

__all__ = ["Renewal", "draw_renewal"]


@dataclass(frozen=True)
class Renewal:
    """Fresh points from the particles' own density, weighted.

    Args:
        points: The points.
        log_weights: ``log model - log density drawn from``, ``[island, point]``.
    """

    points: Particles
    log_weights: np.ndarray

    @property
    def evidence(self) -> tuple[float, float]:
        """Log evidence and its standard error."""
        return pool_evidence(
            np.logaddexp.reduce(self.log_weights, axis=1) - np.log(self.log_weights.shape[1])
        )

    @property
    def share(self) -> float:
        """Effective share of the points."""
        return float(effective_share(self.log_weights.reshape(1, -1))[0])


def draw_renewal(
    path: Path, mixture: Mixture, count: int, islands: int, rng: np.random.Generator
) -> Renewal:
    """Draw from a mixture and weigh.

    Args:
        path: Whose end is the model.
        mixture: What to draw from.
        count: Number of points, of all islands.
        islands: Number of islands among which they are divided.
        rng: Source of randomness.

    Returns:
        The points and their weights; a point without density weighs nothing.
    """
    z, label = mixture.draw(count, rng)
    points = path.visit(z, label)
    with np.errstate(invalid="ignore"):
        log_weights = points.log_p - mixture.log_density(z)
    log_weights = np.where(np.isfinite(log_weights), log_weights, -np.inf)
    return Renewal(points, log_weights.reshape(islands, -1))
