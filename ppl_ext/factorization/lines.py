"""Lines of text as columns, each line checked and numbered as an editor numbers it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

__all__ = ["read_lines", "read_pieces"]

_COLUMNS = ("user", "item", "rating", "time")


def read_lines(path: Path, with_header: bool) -> pandas.DataFrame:
    r"""Read a text file of ratings into columns of text.

    Not for values: what a field says is not looked at.

    Args:
        path: The file, UTF-8; fields between commas, tabs, semicolons or double colons.
        with_header: True where the first line names the columns; else they are user, item, rating
            and, if there is a fourth, time.

    Returns:
        A frame of text whose index is the number of each line, from 1.

    Raises:
        ValueError: A line has more or fewer fields than the first, or the file is empty.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "u.data")
        ...     _ = path.write_text("1\t10\t5\t881250949\n\n2\t10\t3\t891717742\n")
        ...     read_lines(path, with_header=False).index.tolist()
        [1, 3]
    """
    frames = list(read_pieces(path, with_header, None))
    return frames[0]


def read_pieces(path: Path, with_header: bool, size: int | None) -> Iterator[pandas.DataFrame]:
    """Read a text file of ratings piece by piece, each as `read_lines` does.

    Args:
        path: The file.
        with_header: True where the first line names the columns.
        size: Characters of a piece, roughly; all of them if None.

    Yields:
        Frames of text, never empty but where the file has a header alone.

    Raises:
        ValueError: A line has more or fewer fields than the first, or the file is empty.
    """
    form: _Form | None = None
    number = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        while True:
            lines = (file.read() if size is None else "".join(file.readlines(size))).splitlines()
            numbers = [number + at for at, line in enumerate(lines, 1) if line.strip()]
            filled = [line for line in lines if line.strip()]
            number += len(lines)
            if filled:
                header = form is None and with_header
                form = form or _find_form(path, filled[0], numbers[0], with_header)
                frame = form.frame_lines(filled, numbers, header)
                if len(frame) or size is None:
                    yield frame
            if size is None or not lines:
                break
    if form is None:
        raise ValueError(
            f"read_ratings: '{path.name}' is empty; expected a rating in each line. Copy it again."
        )


@dataclass(frozen=True)
class _Form:
    """How the lines of a file are written; fields as in the first line."""

    name: str
    mark: str
    columns: tuple[str, ...]
    number: int

    def frame_lines(
        self, lines: list[str], numbers: list[int], with_header: bool
    ) -> pandas.DataFrame:
        """Split lines into columns of text, indexed by their numbers."""
        import pandas

        mark, width = self.mark, len(self.columns)
        quoted = mark != "::" and any('"' in line for line in lines)
        for number, line in zip(numbers, lines, strict=True):
            found = (
                len(next(csv.reader([line], delimiter=mark))) if quoted else line.count(mark) + 1
            )
            if found != width:
                raise ValueError(
                    f"read_ratings: line {number} of '{self.name}' has {found} fields; expected "
                    f"{width}, as in line {self.number}. Correct the line or drop it; if it is "
                    "the last one, the file may have been cut off."
                )
        joined = "\n".join(lines)
        if mark == "::":
            joined, mark = joined.replace("::", "\t"), "\t"
        frame = pandas.read_csv(
            io.StringIO(joined),
            sep=mark,
            dtype=str,
            header=0 if with_header else None,
            names=None if with_header else self.columns,
            keep_default_na=False,
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        )
        frame.index = pandas.Index(numbers[1:] if with_header else numbers)
        return frame


def _find_form(path: Path, first: str, number: int, with_header: bool) -> _Form:
    mark = next((mark for mark in ("::", "\t", ";", ",") if mark in first), ",")
    fields = first.split("::") if mark == "::" else next(csv.reader([first], delimiter=mark))
    if not with_header and len(fields) not in (3, 4):
        raise ValueError(
            f"read_ratings: line {number} of '{path.name}' has {len(fields)} fields; expected "
            "user, item, rating and perhaps a time. With a header, call the file *.csv or *.tsv."
        )
    columns = tuple(fields) if with_header else _COLUMNS[: len(fields)]
    return _Form(path.name, mark, columns, number)
