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

__all__ = ["find_line", "read_pieces"]

_COLUMNS = ("user", "item", "rating", "time")
# Some two hundred thousand ratings at once.
_SIZE = 2**22
# How files of gzip, zip, bzip2, xz and zstd begin.
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zX", b"\x28\xb5\x2f\xfd")


def read_pieces(path: Path, with_header: bool, size: int = _SIZE) -> Iterator[pandas.DataFrame]:
    r"""Read a text file of ratings into columns of text, piece by piece.

    Not for values: what a field says is not looked at.

    Args:
        path: The file, UTF-8; fields between commas, tabs, semicolons or double colons.
        with_header: True where the first line names the columns; else they are user, item, rating
            and, if there is a fourth, time.
        size: Characters of a piece, roughly.

    Yields:
        Frames of text whose index is the number of each line, from 1; an empty one where the file
        has a header alone.

    Raises:
        ValueError: A line has more or fewer fields than the first, the file is empty, or it is
            no UTF-8 text.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "u.data")
        ...     _ = path.write_text("1\t10\t5\t881250949\n\n2\t10\t3\t891717742\n")
        ...     [frame.index.tolist() for frame in read_pieces(path, with_header=False)]
        [[1, 3]]
    """
    form: _Form | None = None
    frame: pandas.DataFrame | None = None
    for numbers, filled in _number_lines(path, size):
        header = form is None and with_header
        form = form or _find_form(path, filled[0], numbers[0], with_header)
        frame = form.frame_lines(filled, numbers, header)
        if len(frame):
            yield frame
    if frame is None:
        raise ValueError(
            f"read_ratings: '{path.name}' is empty; expected a rating in each line. Copy it again."
        )
    if not len(frame):
        yield frame


def find_line(path: Path, with_header: bool, at: int) -> int:
    """Number of the line of a rating: its position is kept by none, since few are asked for.

    Args:
        path: The file.
        with_header: True where the first line names the columns.
        at: The rating's position, from 0.

    Returns:
        The number, from 1.
    """
    at += 1 if with_header else 0
    for numbers, _ in _number_lines(path, _SIZE):
        if at < len(numbers):
            return numbers[at]
        at -= len(numbers)
    raise ValueError(
        f"read_ratings: '{path.name}' became shorter while it was read. Read it again."
    )


def _number_lines(path: Path, size: int) -> Iterator[tuple[list[int], list[str]]]:
    """Lines that are not blank, with their numbers, some at a time."""
    number = 0
    with path.open("rb") as start:
        if start.read(4).startswith(_PACKED):
            raise ValueError(
                f"read_ratings: '{path.name}' is compressed; expected text. Unpack it first: "
                f"gunzip {path.name}, or unzip."
            )
    try:
        # Lines end where an editor ends them: str.splitlines would cut labels at rarer marks.
        with path.open(encoding="utf-8-sig") as file:
            while lines := [line.removesuffix("\n") for line in file.readlines(size)]:
                numbers = [number + at for at, line in enumerate(lines, 1) if line.strip()]
                if numbers:
                    yield numbers, [line for line in lines if line.strip()]
                number += len(lines)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"read_ratings: '{path.name}' is no UTF-8 text after line {number} ({error.reason}); "
            "expected text. If it is text in another encoding, convert it: iconv -f latin1 -t "
            "utf-8."
        ) from error


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
