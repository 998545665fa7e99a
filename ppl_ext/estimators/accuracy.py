"""How good estimates of a gradient are: bias, variance and cost beside the exact gradient.

The estimates are made in the rooms; here is what can be said of them.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

__all__ = [
    "AbstractEstimatorReport",
    "EstimatorAccuracy",
    "assess_estimator",
    "enumerate_choices",
    "expect_exactly",
    "plan_groups",
]

_MOST_CHOICES = 100_000
_GROUPS, _GROUP_FLOATS = 32, 2**22
_DETECTED = 3.0  # standard errors of the squared bias
_AVERAGED = 100
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


@dataclass(frozen=True)
class AbstractEstimatorReport:
    """Estimators of one gradient side by side, the exact gradient among them.

    Attributes:
        rows: One for each estimator, in the order given.
        expectation: The exact expectation; the mean over a batch.
        gradient_norm: Length of the exact gradient.
        num_draws: Estimates made with each estimator.

    Example:
        >>> row = EstimatorAccuracy("ReinMax()", 0.0, 1e-4, 0.3, 0.0, 0.02, 1.0, 1, 1e-6)
        >>> print(AbstractEstimatorReport((row,), 1.5, 0.5, 10_000))
        estimator  rel. bias  variance / |g|^2  cosine  evaluations  CPU us
        -------------------------------------------------------------------
        ReinMax()     < 0.02               1.2  1.0000            1     1.0
        exact gradient of length 0.5, expectation 1.5; 10,000 estimates with each
        advice: with one evaluation, ReinMax().
    """

    rows: tuple[EstimatorAccuracy, ...]
    expectation: float
    gradient_norm: float
    num_draws: int

    @property
    def advice(self) -> str:
        """Which estimator to take, by how often the function can be evaluated.

        With one evaluation it is the one with the least error when a hundred estimates are
        averaged, as a minibatch and the memory of an optimizer do: then bias counts.
        """
        sentences = []
        single = [row for row in self.rows if row.evaluations == 1]
        several = [row for row in self.rows if row.evaluations > 1 and not row.biased]
        if single:
            best = min(single, key=lambda row: row.squared_error(_AVERAGED))
            bias = f" (relative bias {best.relative_bias:.2g})" if best.biased else ""
            sentences.append(f"with one evaluation, {best.name}{bias}")
        if several:
            best = min(several, key=lambda row: row.variance * row.evaluations)
            sentences.append(f"with {best.evaluations}, {best.name}, in which no bias was found")
        return "; ".join(sentences) + "."

    def __str__(self) -> str:
        header = (
            "estimator", "rel. bias", "variance / |g|^2", "cosine", "evaluations", "CPU us",
        )  # fmt: skip
        square = self.gradient_norm**2
        table = [header, *(_cells(row, square) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])])
            for cells in table
        ]
        lines.insert(1, "-" * (sum(widths) + 2 * len(widths) - 2))
        lines.append(
            f"exact gradient of length {self.gradient_norm:.3g}, expectation "
            f"{self.expectation:.3g}; {self.num_draws:,} estimates with each"
        )
        return "\n".join([*lines, f"advice: {self.advice}"])


def enumerate_choices(num_variables: int, num_classes: int) -> np.ndarray:
    """List every choice of one class for each variable.

    Args:
        num_variables: Number of variables.
        num_classes: Number of classes of each.

    Returns:
        Classes with shape ``(choice, variable)``.

    Raises:
        ValueError: More than 100,000 choices.

    Example:
        >>> enumerate_choices(2, 2).tolist()
        [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    # By logarithms: the number itself may have thousands of digits.
    if num_variables * math.log(num_classes) > math.log(_MOST_CHOICES) + 1e-9:
        raise ValueError(
            f"EstimatorReport: {num_variables} variables of {num_classes} classes have "
            f"{num_classes}^{num_variables} joint values; expected at most {_MOST_CHOICES:,}, as "
            "the exact gradient needs them all. Take a few of the variables: "
            "EstimatorReport(f, logits[..., :4, :])."
        )
    return np.indices((num_classes,) * num_variables).reshape(num_variables, -1).T


def expect_exactly(
    probs: np.ndarray, choices: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum an expectation and its gradient in the logits over all choices.

    Args:
        probs: Probabilities with shape ``(*batch, variable, class)``.
        choices: Classes with shape ``(choice, variable)``.
        values: The function at each choice, with shape ``(choice, *batch)``.

    Returns:
        The expectation ``(*batch,)`` and the gradient ``(*batch, variable, class)``.

    Example:
        >>> choices = enumerate_choices(1, 2)
        >>> expectation, gradient = expect_exactly(
        ...     np.array([[0.5, 0.5]]), choices, np.array([0.0, 4.0])
        ... )
        >>> float(expectation), gradient.tolist()
        (2.0, [[-1.0, 1.0]])
    """
    probs = np.asarray(probs, dtype=float)
    joint = np.ones((len(choices), *probs.shape[:-2]))
    for variable, classes in enumerate(choices.T):
        joint *= np.moveaxis(probs[..., variable, :], -1, 0)[classes]
    # What cannot happen counts nothing, whatever the function says of it.
    weighted = np.where(joint > 0, joint * np.where(joint > 0, values, 0.0), 0.0)
    expectation = weighted.sum(0)
    gradient = -probs * expectation[..., None, None]
    for variable, classes in enumerate(choices.T):
        for each in range(probs.shape[-1]):
            gradient[..., variable, each] += weighted[classes == each].sum(0)
    return expectation, gradient


def plan_groups(num_draws: int, floats: int) -> tuple[int, int]:
    """Split estimates into groups that fit in memory, enough of them to see their noise.

    Args:
        num_draws: Estimates wanted at least.
        floats: Numbers that one estimate has in hand.

    Returns:
        The number of groups, 32 or more, and the estimates in each.

    Example:
        >>> plan_groups(10_000, floats=100)
        (32, 313)
    """
    size = max(1, min(-(-num_draws // _GROUPS), _GROUP_FLOATS // max(floats, 1)))
    return max(_GROUPS, -(-num_draws // size)), size


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


def _cells(row: EstimatorAccuracy, square: float) -> tuple[str, ...]:
    bias = f"< {row.relative_bias_error:.2g}"
    if row.biased:
        bias = f"{row.relative_bias:.3f} +- {row.relative_bias_error:.1g}"
    variance = row.variance / square if square > 0 else math.nan
    return (
        row.name,
        bias,
        f"{variance:.3g}",
        f"{row.cosine:.4f}",
        str(row.evaluations),
        f"{1e6 * row.seconds:.1f}",
    )
