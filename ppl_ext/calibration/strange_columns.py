"""In which column an observation is strange, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ppl_ext.calibration.distances import Frame

__all__ = ["Reach", "describe_set", "find_reach"]

_USUAL = (0.005, 0.995)
_LEAST = 1e-9


@dataclass(frozen=True, eq=False)
class Reach:
    """Where 99 of 100 simulations lie, column by column, alone and given the others.

    Args:
        frame: Coordinates of the simulations.
        values: ``[2, column]``, the ends in the units of the columns.
        low: ``[2, column]``, lower ends of the deviations: alone, given the others.
        high: ``[2, column]``, upper ends.

    Example:
        >>> from ppl_ext.calibration.distances import find_frame
        >>> simulated = np.random.default_rng(0).normal(size=(500, 2))
        >>> reach = find_reach(find_frame(simulated), simulated)
        >>> reach.describe(np.array([0.0, 5.0]), ["'a'", "'b'"])
        "'b' is 5; simulations lie between -2.35 and 2.48"
    """

    frame: Frame
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def measure(self, rows: np.ndarray) -> np.ndarray:
        """Deviations as multiples of the usual ones on their side.

        Args:
            rows: ``[row, column]``.

        Returns:
            ``[2, row, column]``, alone and given the others; above 1 beyond the usual.
        """
        found = _deviate(self.frame, rows)
        low, high = np.minimum(self.low, -_LEAST), np.maximum(self.high, _LEAST)
        multiples: np.ndarray = np.maximum(found / low[:, None], found / high[:, None])
        return multiples

    def measure_worst(self, rows: np.ndarray) -> np.ndarray:
        """The largest multiple of each row.

        Args:
            rows: ``[row, column]``.

        Returns:
            ``[row]``.
        """
        worst: np.ndarray = self.measure(rows).max((0, 2))
        return worst

    def find_strangest(self, row: np.ndarray) -> tuple[int, bool]:
        """Find the column in which one observation is strangest.

        Args:
            row: ``[column]``.

        Returns:
            The column, and whether it is by itself; that comes first, for a column far out makes
            those that go with it strange beside it.
        """
        alone, together = self.measure(row[None])[:, 0]
        by_itself = bool(alone.max() >= min(1.0, together.max()))
        return int((alone if by_itself else together).argmax()), by_itself

    def describe(self, row: np.ndarray, names: Sequence[str]) -> str:
        """Say in which column one observation is strange.

        Args:
            row: ``[column]``.
            names: Of the columns.

        Returns:
            The words.
        """
        if self.measure(row[None]).max() < 1:
            return "no single column; what counts is how they go together"
        column, by_itself = self.find_strangest(row)
        if by_itself:
            low, high = self.values[:, column]
            return (
                f"{names[column]} is {row[column]:.3g}; simulations lie between {low:.3g} and "
                f"{high:.3g}"
            )
        return (
            f"{names[column]} is {row[column]:.3g}, strange beside the other columns: they say "
            f"{self.frame.expect(row, column):.3g}"
        )


def find_reach(frame: Frame, simulated: np.ndarray) -> Reach:
    """Find where simulations lie.

    Args:
        frame: Their coordinates.
        simulated: ``[simulation, column]``.

    Returns:
        The ends of each column.

    Example:
        >>> from ppl_ext.calibration.distances import find_frame
        >>> simulated = np.random.default_rng(0).normal(size=(500, 2))
        >>> find_reach(find_frame(simulated), simulated).high.shape
        (2, 2)
    """
    low, high = np.quantile(_deviate(frame, simulated), _USUAL, axis=1)
    return Reach(frame, np.quantile(simulated, _USUAL, axis=0), low, high)


def describe_set(
    frame: Frame, simulated: np.ndarray, observed: np.ndarray, names: Sequence[str]
) -> str:
    """Say whose mean moves furthest, where it is all observations together that are strange.

    Args:
        frame: Coordinates of the simulations.
        simulated: ``[simulation, column]``.
        observed: ``[observation, column]``.
        names: Of the columns.

    Returns:
        The words.

    Example:
        >>> from ppl_ext.calibration.distances import find_frame
        >>> simulated = np.random.default_rng(0).normal(size=(500, 2))
        >>> describe_set(find_frame(simulated), simulated, np.ones((9, 2)), ["'a'", "'b'"])
        "all of them together; 'b' has mean 1, in simulations -0.00824"
    """
    moved = frame.standardise(observed).mean(0) - frame.standardise(simulated).mean(0)
    column = int(np.abs(moved).argmax())
    return (
        f"all of them together; {names[column]} has mean {observed[:, column].mean():.3g}, in "
        f"simulations {simulated[:, column].mean():.3g}"
    )


def _deviate(frame: Frame, rows: np.ndarray) -> np.ndarray:
    """Deviations ``[2, row, column]``, alone and given the other columns."""
    return np.stack([frame.standardise(rows), frame.measure_given_others(rows)])
