"""What a fit leaves over, and how far it is from the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.exoplanet.data import PARAMETERS

if TYPE_CHECKING:
    from ppl_ext.draws import Draws
    from ppl_ext.npe.answers.correction import CorrectedPosterior

__all__ = ["Residuals", "Retrieval", "compare_with_truth"]


@dataclass(frozen=True)
class Residuals:
    """A spectrum less what a model makes of it.

    Attributes:
        ppm: ``[bin]``, data less model, 1e-6 of the star's light.
        error_ppm: ``[bin]``, stated errors.
        inflation: What the fit multiplies the stated errors with.
    """

    ppm: np.ndarray
    error_ppm: np.ndarray
    inflation: float

    @classmethod
    def of(cls, depth, error, mean_depth, log_inflation) -> "Residuals":
        """Compare depths and errors, ``[bin]`` fractions, with the depths of a model."""
        depth, error, mean = (np.asarray(each, dtype=float) for each in (depth, error, mean_depth))
        return cls(1e6 * (depth - mean), 1e6 * error, float(10**log_inflation))

    @classmethod
    def of_draws(cls, depth, error, draws) -> "Residuals":
        """Compare with the median of a posterior, ``{"mean_depth": [draw, bin], ...}``."""
        middle = {name: np.median(draws[name], 0) for name in ("mean_depth", "log_inflation")}
        return cls.of(depth, error, *middle.values())

    @property
    def rms(self) -> float:
        """Root of the mean square, in ppm."""
        return float(np.sqrt(np.mean(self.ppm**2)))

    @property
    def reduced_chi2(self) -> float:
        """Mean square in units of the stated errors."""
        return float(np.mean((self.ppm / self.error_ppm) ** 2))

    def __str__(self) -> str:
        return (
            f"residuals {self.rms:.0f} ppm rms, {self.reduced_chi2:.2f} squared stated errors a "
            f"bin, errors {self.inflation:.2f} times the stated ones"
        )


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What a network says of a spectrum.

    Attributes:
        network: Its plain draws.
        corrected: What the model's density makes of its answer.
        residuals: What the median of the corrected posterior leaves over.
    """

    network: "Draws"
    corrected: "CorrectedPosterior"
    residuals: Residuals


def compare_with_truth(values: Mapping[str, np.ndarray]) -> str:
    """Tell mean and standard deviation of every parameter beside the truth, a line for each."""
    lines = []
    for each in PARAMETERS:
        draws = np.asarray(values[each.name], dtype=float)
        mean, sd = draws.mean(), draws.std()
        lines.append(
            f"{each.name:<20}{mean:>9.2f} +- {sd:<8.2f} truth {each.truth:>7.2f}, "
            f"{(mean - each.truth) / sd:+.1f} sd"
        )
    return "\n".join(lines)
