"""Whether neural posteriors of simulated spectra are right, and how near they come."""

from dataclasses import dataclass

import numpy as np

from models.exoplanet.data import PARAMETERS
from ppl_ext.calibration import Calibration, ExpectedCoverage, measure_interval_coverage

__all__ = ["Assessment", "measure_efficiency"]


@dataclass(frozen=True, eq=False)
class Assessment:
    """Neural posteriors of spectra that were simulated after the training.

    Attributes:
        calibration: Where the sixteen truths lie among the draws.
        efficiency: ``[spectrum]``, share of the network's draws that is left when the model's
            density weighs them.
        log_density: Mean log density of the truths, in nats.
    """

    calibration: Calibration
    efficiency: np.ndarray
    log_density: float

    @property
    def coverage(self) -> dict[str, ExpectedCoverage]:
        """How often central intervals of every parameter hold the truth."""
        return {
            each.name: measure_interval_coverage(self.calibration, each.name)
            for each in PARAMETERS
        }

    @property
    def largest_gap(self) -> tuple[str, float]:
        """The parameter whose coverage is furthest from its level, and how far."""
        gaps = {name: each.largest_gap for name, each in self.coverage.items()}
        worst = max(gaps, key=lambda name: abs(gaps[name]))
        return worst, gaps[worst]

    @property
    def median_efficiency(self) -> float:
        """Of all spectra."""
        return float(np.median(self.efficiency))

    def __str__(self) -> str:
        name, gap = self.largest_gap
        return (
            f"central intervals of {self.calibration.num_simulations:,} spectra cover at most "
            f"{abs(gap):.3f} {'less' if gap < 0 else 'more'} than they say ({name}), median "
            f"efficiency {self.median_efficiency:.2%}, log density {self.log_density:.2f}"
        )


def measure_efficiency(log_weights: np.ndarray) -> float:
    """Measure the effective share of importance-weighted draws, from ``[draw]`` log weights."""
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))
