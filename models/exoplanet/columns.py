"""Columns of numbers that know where they stand, and the checks that need to say so."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Column", "check_errors", "check_lower", "check_wavelengths"]

_LEAVE_OUT = "Correct the line, or write nan to leave it out."


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a file.

    Attributes:
        name: Its name.
        unit: Its unit as the file tells it, or None.
        values: ``[row]``.
        lines: ``[row]``, numbers of the lines, from 1.
        source: Name of the file.
    """

    name: str
    unit: str | None
    values: np.ndarray
    lines: np.ndarray
    source: str

    def take(self, rows: np.ndarray) -> Column:
        """Take some rows, in another order perhaps."""
        return replace(self, values=self.values[rows], lines=self.lines[rows])

    def refuse(self, wrong: np.ndarray, expected: str, remedy: str) -> None:
        """Raise ValueError for the first row that is wrong, if one is."""
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"read_spectrum: line {self.lines[row]} of {self.source} has {self.values[row]:g} "
                f"in '{self.name}'; expected {expected}. {remedy}"
            )


def check_wavelengths(column: Column) -> None:
    """Refuse wavelengths, ascending, that are not positive, or come twice."""
    column.refuse(column.values <= 0, "a positive wavelength", _LEAVE_OUT)
    again = np.append(column.values[1:] == column.values[:-1], False)
    column.refuse(
        again,
        f"every wavelength once, and it comes again in line {_next_line(column, again)}",
        "Average the two, or write nan to leave one out.",
    )


def _next_line(column: Column, again: np.ndarray) -> int:
    return int(column.lines[(int(np.argmax(again)) + 1) % len(again)])


def check_errors(column: Column) -> None:
    """Refuse errors that are not positive."""
    column.refuse(column.values <= 0, "a positive error", _LEAVE_OUT)


def check_lower(column: Column, upper: Column) -> Column:
    """Turn errors towards shallower transits, negative throughout, into positive ones.

    Args:
        column: Errors towards shallower transits.
        upper: Errors towards deeper ones.

    Returns:
        The errors, positive.

    Raises:
        ValueError: The other column is the negative one, or one has both signs.
    """
    if (upper.values < 0).all() and (column.values > 0).all():
        raise ValueError(
            f"read_spectrum: the errors in '{upper.name}' of {upper.source} are negative; "
            "expected those towards deeper transits first. Write the others first: "
            f"error=({column.name!r}, {upper.name!r})."
        )
    if (column.values < 0).all():
        return replace(column, values=-column.values)
    return column
