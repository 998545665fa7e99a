"""Lines of text as columns, each line checked and numbered as an editor numbers it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas

__all__ = ["read_lines"]

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
    import pandas

    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        raise ValueError(
            f"read_ratings: '{path.name}' is empty; expected a rating in each line. Copy it again."
        )
    first = text[: text.find("\n") if "\n" in text else None]
    mark = next((mark for mark in ("::", "\t", ";", ",") if mark in first), ",")
    lines = text.splitlines()
    numbers = np.flatnonzero([bool(line.strip()) for line in lines]) + 1
    filled = [lines[number - 1] for number in numbers]
    width = len(
        next(csv.reader([first.replace("::", "\t")], delimiter=mark[0].replace(":", "\t")))
    )
    if not with_header and width not in (3, 4):
        raise ValueError(
            f"read_ratings: line {numbers[0]} of '{path.name}' has {width} fields; expected user, "
            "item, rating and perhaps a time. With a header, call the file *.csv or *.tsv."
        )
    quoted = '"' in text and mark != "::"
    for number, line in zip(numbers, filled, strict=True):
        found = len(next(csv.reader([line], delimiter=mark))) if quoted else line.count(mark) + 1
        if found != width:
            raise ValueError(
                f"read_ratings: line {number} of '{path.name}' has {found} fields; expected "
                f"{width}, as in line {numbers[0]}. Correct the line or drop it; if it is the "
                "last one, the file may have been cut off."
            )
    joined = "\n".join(filled)
    if mark == "::":
        joined, mark = joined.replace("::", "\t"), "\t"
    frame = pandas.read_csv(
        io.StringIO(joined),
        sep=mark,
        dtype=str,
        header=0 if with_header else None,
        names=None if with_header else _COLUMNS[:width],
        keep_default_na=False,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    frame.index = pandas.Index(numbers[1:] if with_header else numbers)
    return frame
