"""What a fit is measured against: posterior means and standard deviations known from outside."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Reference"]


@dataclass(frozen=True)
class Reference:
    """Posterior means and standard deviations of a model's quantities, from outside this package.

    Do not use it for heavy-tailed posteriors, whose standard deviation says little.

    Args:
        mean: Posterior mean of each quantity, ``{name: array[...]}``.
        sd: Posterior standard deviation of each quantity, same names and shapes.
        source: Where the numbers come from.

    Example:
        >>> reference = Reference({"x": np.zeros(2)}, {"x": np.array([1.0, 10.0])}, "theory")
        >>> draws = np.array([[0.0, 4.0], [2.0, 6.0]])
        >>> reference.mean_error({"x": draws})["x"].tolist()
        [1.0, 0.5]
        >>> reference.worst_mean_error({"x": draws})
        1.0
    """

    mean: Mapping[str, np.ndarray]
    sd: Mapping[str, np.ndarray]
    source: str

    def mean_error(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return how far each mean is from the reference, in reference standard deviations.

        Args:
            values: Draws of (at least) the quantities of the reference,
                ``{name: array[draw, ...]}``.

        Returns:
            ``{name: array[...]}``, signed.
        """
        return {
            name: (np.mean(values[name], axis=0) - mean) / self.sd[name]
            for name, mean in self.mean.items()
        }

    def log_sd_ratio(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the logarithm of each standard deviation over the reference's.

        Args:
            values: Draws of (at least) the quantities of the reference,
                ``{name: array[draw, ...]}``.

        Returns:
            ``{name: array[...]}``; 0 is exact, negative is too narrow.
        """
        return {name: np.log(np.std(values[name], axis=0) / sd) for name, sd in self.sd.items()}

    def worst_mean_error(self, values: Mapping[str, np.ndarray]) -> float:
        """Return the largest absolute error of a mean, in reference standard deviations.

        Args:
            values: Draws, as for ``mean_error``.

        Returns:
            A number; Monte Carlo error alone gives about 0.03 with 4,000 independent draws.
        """
        return _worst(self.mean_error(values))

    def worst_log_sd_ratio(self, values: Mapping[str, np.ndarray]) -> float:
        """Return the largest absolute log ratio of standard deviations.

        Args:
            values: Draws, as for ``mean_error``.

        Returns:
            A number; 0.1 is an error of ten per cent.
        """
        return _worst(self.log_sd_ratio(values))


def _worst(errors: Mapping[str, np.ndarray]) -> float:
    return max(float(np.max(np.abs(error))) for error in errors.values())
