"""How good estimates of a gradient are: bias, variance and cost beside the exact gradient."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

__all__ = ["EstimatorAccuracy", "assess_estimator"]

_DETECTED = 3.0  # standard errors of the squared bias
_ROUNDING = 1e-5  # of a gradient in float32


@dataclass(frozen=True)
class EstimatorAccuracy:
    """Bias, variance and cost of one estimator.

    Attributes:
        name: The estimator with its parameters.
        squared_bias: Squared length of the mean estimate's distance from the exact gradient,
            without the part that is noise; it may be negative where there is no bias.
        squared_bias_error: Its standard error, too large by half where there is no bias.
        variance: Trace of the covariance of one estimate.
        relative_bias: Length of the bias over the length of the gradient; zero where none is
            found.
        relative_bias_error: Its standard error, or the least that would be found.
        cosine: Of the angle between the mean estimate and the exact gradient.
        evaluations: Evaluations of the function for one estimate.
        seconds: CPU seconds for one estimate, many being made together.

    Example:
        >>> exact = np.array([1.0, 0.0])
        >>> rng = np.random.default_rng(0)
        >>> groups = [exact + [0.5, 0.0] + rng.standard_normal((100, 2)) for _ in range(40)]
        >>> found = assess_estimator("half too long", groups, exact, evaluations=1, seconds=0.0)
        >>> found.biased, round(found.relative_bias, 1), round(found.variance)
        (True, 0.5, 2)
    """

    name: str
    squared_bias: float
    squared_bias_error: float
    variance: float
    relative_bias: float
    relative_bias_error: float
    cosine: float
    evaluations: int
    seconds: float

    @property
    def biased(self) -> bool:
        """Whether a bias stands out of the noise, by three standard errors, and of rounding."""
        return self.relative_bias > 0

    def squared_error(self, num_averaged: int = 1) -> float:
        """Expected squared distance from the exact gradient.

        Args:
            num_averaged: Number of estimates whose mean it is, which have one bias.

        Returns:
            The squared bias and the share of the variance that is left.
        """
        return max(self.squared_bias, 0.0) + self.variance / num_averaged


def assess_estimator(
    name: str,
    groups: Iterable[np.ndarray],
    exact: np.ndarray,
    *,
    evaluations: int,
    seconds: float,
) -> EstimatorAccuracy:
    """Compare estimates of a gradient with the exact one.

    Args:
        name: The estimator with its parameters.
        groups: Independent estimates in groups of one size, each ``(draw, *gradient)``.
        exact: The exact gradient.
        evaluations: Evaluations of the function for one estimate.
        seconds: CPU seconds for one estimate.

    Returns:
        Its accuracy.

    Example:
        >>> exact = np.array([3.0, 4.0])
        >>> groups = np.random.default_rng(0).standard_normal((40, 50, 2)) + exact
        >>> found = assess_estimator("noisy", groups, exact, evaluations=4, seconds=0.0)
        >>> found.biased, round(found.variance), round(found.cosine, 2)
        (False, 2, 1.0)
    """
    goal = np.asarray(exact, dtype=float).ravel()
    distances, squares, count = [], 0.0, 0
    for group in groups:
        errors = np.asarray(group, dtype=float).reshape(len(group), -1) - goal
        distances.append(errors.mean(0))
        squares += float(np.sum(errors**2))
        count += len(errors)
    means = np.stack(distances)
    squared_bias, error = _square_of_mean(means)
    variance = max(squares - count * float(np.sum(means.mean(0) ** 2)), 0.0) / (count - 1)
    length = float(np.linalg.norm(goal))
    found = squared_bias > max(_DETECTED * error, (_ROUNDING * length) ** 2)
    bias = math.sqrt(squared_bias) if found else 0.0
    # Where nothing is found, the error is what would just have been found.
    least = max(math.sqrt(_DETECTED * error), _ROUNDING * length)
    bias_error = error / (2 * bias) if found else least
    square, _ = _square_of_mean(means + goal)
    inner = float((means.mean(0) + goal) @ goal)
    cosine = inner / (length * math.sqrt(square)) if length > 0 and square > 0 else math.nan
    scale = length if length > 0 else math.nan
    return EstimatorAccuracy(
        name=name,
        squared_bias=squared_bias,
        squared_bias_error=error,
        variance=variance,
        relative_bias=bias / scale,
        relative_bias_error=bias_error / scale,
        cosine=float(np.clip(cosine, -1.0, 1.0)),
        evaluations=evaluations,
        seconds=seconds,
    )


def _square_of_mean(groups: np.ndarray) -> tuple[float, float]:
    """Estimate the squared length of a mean without bias, and the error by the jackknife."""
    number = len(groups)
    total, squares = groups.sum(0), np.sum(groups**2, -1)
    estimate = float((total @ total - squares.sum()) / (number * (number - 1)))
    rest = total @ total - 2 * groups @ total + squares  # squared length without each group
    without = (rest - (squares.sum() - squares)) / ((number - 1) * (number - 2))
    spread = float(np.sum((without - without.mean()) ** 2))
    return estimate, math.sqrt((number - 1) / number * spread)
