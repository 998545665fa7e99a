"""Estimators of one gradient side by side.

The estimates are made in the rooms; here they are planned, held against the exact gradient, and
set in a table.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl_ext.estimators.accuracy import EstimatorAccuracy, assess_estimator
from ppl_ext.estimators.arguments import refuse
from ppl_ext.estimators.enumeration import enumerate_choices, expect_exactly

__all__ = ["EstimatorReport", "hold_beside", "plan_groups"]

_GROUPS, _GROUP_FLOATS = 32, 2**22
_AVERAGED = 100

# (estimator, groups, draws in each) -> the estimates of each group, and CPU seconds.
Estimate = Callable[[Any, int, int], tuple[Sequence[np.ndarray], float]]


@dataclass(frozen=True)
class EstimatorReport:
    """Estimators of one gradient side by side, the exact gradient among them.

    Attributes:
        rows: One for each estimator, in the order given.
        expectation: The exact expectation; the mean over a batch.
        gradient_norm: Length of the exact gradient.
        num_draws: Estimates made with each estimator.

    Example:
        >>> from ppl_ext.estimators import EstimatorAccuracy
        >>> row = EstimatorAccuracy("ReinMax()", 0.0, 1e-4, 0.3, 0.0, 0.02, 1.0, 1, 1e-6)
        >>> print(EstimatorReport((row,), 1.5, 0.5, 10_000))
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


def hold_beside(
    estimators: Sequence[Any],
    estimate: Estimate,
    *,
    probs: np.ndarray,
    values: np.ndarray,
    num_draws: int,
) -> EstimatorReport:
    """Hold estimators beside the exact gradient.

    Args:
        estimators: The estimators; each counts its ``evaluations(variables, classes)``.
        estimate: ``(estimator, groups, draws) -> (estimates, seconds)``: estimates
            ``[draw, *gradient]`` of each group, and the CPU seconds for all of them.
        probs: Probabilities ``(*batch, variable, class)``.
        values: The function at each of ``enumerate_choices(variables, classes)``,
            ``(choice, *batch)``.
        num_draws: Estimates to make with each, at least.

    Returns:
        The report.

    Example:
        >>> class Exact:
        ...     def evaluations(self, variables, classes):
        ...         return classes
        ...     def __repr__(self):
        ...         return "Exact()"
        >>> gradient = np.array([[[-1.0, 1.0]]])
        >>> def estimate(estimator, groups, draws):
        ...     return [np.repeat(gradient[0][None], draws, 0)] * groups, 0.0
        >>> report = hold_beside(
        ...     [Exact()], estimate,
        ...     probs=np.array([[0.5, 0.5]]), values=np.array([0.0, 4.0]), num_draws=100,
        ... )
        >>> report.rows[0].biased, report.expectation
        (False, 2.0)
    """
    variables, classes = probs.shape[-2:]
    expectation, gradient = expect_exactly(probs, enumerate_choices(variables, classes), values)
    rows = []
    for estimator in estimators:
        evaluations = estimator.evaluations(variables, classes)
        groups, size = plan_groups(num_draws, probs.size * evaluations)
        estimates, seconds = estimate(estimator, groups, size)
        rows.append(
            assess_estimator(
                repr(estimator),
                estimates,
                gradient,
                evaluations=evaluations,
                seconds=seconds / (groups * size),
            )
        )
    length = float(np.linalg.norm(gradient))
    return EstimatorReport(tuple(rows), float(np.mean(expectation)), length, num_draws)


def check_estimators(estimators: Any, kind: type) -> None:
    """Refuse what is no list of estimators."""
    if isinstance(estimators, kind):
        raise refuse(
            "compare_estimators",
            f"estimators is {estimators!r}",
            "a list of them",
            f"compare_estimators(..., [{estimators!r}]).",
        )


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
