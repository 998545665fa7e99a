"""What an encoder loses against a posterior of each row's own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

__all__ = ["AmortizationGap", "find_moved", "measure_gap"]

# In nats, where a Gaussian answer that is off by d standard deviations loses d^2 / 2.
_CLOSED = 0.05
_WIDE = 0.5
_ON_THE_WAY = 0.5  # of all that the steps reach
_WIDTH = 88


@dataclass(frozen=True, eq=False, repr=False)
class AmortizationGap:
    r"""How much the bound of a row rises when its posterior is fitted to it alone.

    .. math:: \mathrm{gap}_i = \mathcal{L}_i(q_i^*) - \mathcal{L}_i(q_{\mathrm{encoder}(x_i)})

    Both posteriors are of one family, and both bounds are seen with the same random numbers. A gap
    says nothing of what the family cannot follow, which stays in both.

    Args:
        plate: The plate whose rows are encoded.
        before: Bounds of the encoder's answers, ``[row]``, in nats.
        after: Bounds of the refined answers, ``[row]``.
        row_errors: Standard errors of the gaps of the rows, by the random numbers, ``[row]``.
        error: That of their mean.
        num_draws: Draws of a row.
        moved: How far the answer of a row moved, as a share of what the steps reach, ``[row]``.

    Example:
        >>> before = np.array([[-1.1, -1.0, -1.8], [-1.3, -1.0, -2.0]])
        >>> print(measure_gap("rows", [(before, np.full((2, 3), -1.0))], np.zeros(3)))
        gap           0.367 +- 0.067 nats a row, mean of 3 rows of plate 'rows'
        bound         -1.367 by the encoder, -1 refined
        worst rows    2 (0.9), 0 (0.2), 1 (0)
        verdict       noticeable: take the refined answers, and train the encoder longer or give
                      it a larger network.
    """

    plate: str
    before: np.ndarray
    after: np.ndarray
    row_errors: np.ndarray
    error: float
    num_draws: int
    moved: np.ndarray

    def __repr__(self) -> str:
        return f"AmortizationGap({self.mean:.3g} +- {self.error:.2g} nats a row)"

    @property
    def rows(self) -> np.ndarray:
        """The gap of every row, ``[row]``; infinite or NaN where a bound is not finite."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.after - self.before)

    @property
    def finite(self) -> np.ndarray:
        """Whether both bounds of a row are finite, ``[row]``."""
        return np.isfinite(self.before) & np.isfinite(self.after)

    @property
    def mean(self) -> float:
        """Mean of the gaps of the rows whose bounds are finite; NaN if there are none."""
        return float(self.rows[self.finite].mean()) if self.finite.any() else float("nan")

    @property
    def unfinished(self) -> np.ndarray:
        """Whether a row moved so far that it may be on its way still, ``[row]``."""
        return np.asarray(self.moved > _ON_THE_WAY)

    @property
    def good(self) -> bool:
        """Whether the encoder answers as well as a fit of each row would, or nearly so."""
        whole = bool(self.finite.all()) and not self.unfinished.any()
        return whole and abs(self.mean) + 2 * self.error <= _CLOSED

    def find_worst(self, count: int = 5) -> np.ndarray:
        """The rows with the widest gaps, those without finite bounds first.

        Args:
            count: How many.
        """
        width = np.where(self.finite, self.rows, np.inf)
        return np.argsort(-width, kind="stable")[:count]

    @property
    def verdict(self) -> str:
        """What the gap means, in a sentence."""
        lost = int((~self.finite).sum())
        if lost:
            return (
                f"bounds of {lost} rows are not finite: look at these rows; answers there are "
                "outside of what the model allows."
            )
        if self.unfinished.any():
            return (
                f"{int(self.unfinished.sum())} rows were still on their way, and their gaps are "
                "wider than this: take a larger max_steps."
            )
        if self.good:
            return "closed: the encoder answers about as well as a fit of each row in its family."
        if self.mean < -2 * self.error:
            return "refinement went astray: take a smaller step_size and a larger max_steps."
        if 2 * self.error > max(_CLOSED, abs(self.mean)):
            return "too few draws to tell: take a larger num_draws."
        wide = "wide" if self.mean > _WIDE else "noticeable"
        return (
            f"{wide}: take the refined answers, and train the encoder longer or give it a "
            "larger network."
        )

    def __str__(self) -> str:
        seen = self.finite
        worst = self.find_worst()
        named = ", ".join(f"{row} ({self.rows[row]:.3g})" for row in worst)
        before, after = (
            float(each[seen].mean()) if seen.any() else float("nan")
            for each in (self.before, self.after)
        )
        lines = {
            "gap": f"{self.mean:.3g} +- {self.error:.2g} nats a row, mean of {int(seen.sum())} "
            f"rows of plate '{self.plate}'",
            "bound": f"{before:.4g} by the encoder, {after:.4g} refined",
            "worst rows": named,
            "verdict": self.verdict,
        }
        hang = " " * 14
        return "\n".join(
            textwrap.fill(text, _WIDTH, initial_indent=f"{name:14}", subsequent_indent=hang)
            for name, text in lines.items()
        )


def measure_gap(
    plate: str, batches: Iterable[tuple[np.ndarray, np.ndarray]], moved: np.ndarray
) -> AmortizationGap:
    """Average the terms of two bounds over draws with the same random numbers.

    Args:
        plate: The plate whose rows are encoded.
        batches: ``log p - log q`` of draws by the encoder and of refined ones, each
            ``[draw, row]``.
        moved: See `AmortizationGap`.

    Returns:
        The gap.

    Example:
        >>> terms = np.zeros((10, 4)), np.ones((10, 4))
        >>> measure_gap("rows", [terms], np.zeros(4)).mean
        1.0
    """
    count, total, squares, means = 0, np.zeros(1), np.zeros(1), []
    for before, after in batches:
        before, after = np.asarray(before, float), np.asarray(after, float)
        with np.errstate(invalid="ignore"):
            change = after - before
            total = total + np.stack([before.sum(0), after.sum(0)])
            squares = squares + (change**2).sum(0)
        usable = np.isfinite(change)
        means.append(np.where(usable, change, 0.0).sum(1) / np.maximum(1, usable.sum(1)))
        count += len(before)
    below, above = total / count
    with np.errstate(invalid="ignore"):
        spread = np.maximum(0.0, squares / count - (above - below) ** 2)
    every = np.concatenate(means)
    return AmortizationGap(
        plate=plate,
        before=below,
        after=above,
        row_errors=np.sqrt(spread / max(1, count - 1)),
        error=float(every.std(ddof=1) / np.sqrt(count)) if count > 1 else float("inf"),
        num_draws=count,
        moved=moved,
    )


def find_moved(changes: Iterable[np.ndarray], *, step_size: float, max_steps: int) -> np.ndarray:
    """How far rows moved, as a share of all that the steps reach.

    Args:
        changes: Changes of the parameters of all rows, each ``[row, ...]``.
        step_size: Of the first step.
        max_steps: Steps, whose size falls to a hundredth.

    Returns:
        ``[row]``.

    Example:
        >>> changes = [np.array([[2.0, -9.0], [0.0, 1.0]])]
        >>> find_moved(changes, step_size=0.1, max_steps=300).round(1)
        array([1.4, 0.2])
    """
    reach = step_size * max_steps * (1 - 0.01) / np.log(100)
    farthest = [np.abs(change).reshape(len(change), -1).max(1) for change in changes]
    return np.asarray(np.max(farthest, axis=0) / reach)
