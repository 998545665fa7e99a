"""Lines of text as columns, each line checked and numbered as an editor numbers it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ppl_ext.factorization.data.text_form import TextForm, find_form
from ppl_ext.factorization.data.text_pieces import check_text, cut_pieces

if TYPE_CHECKING:
    import pandas

__all__ = ["Picker", "read_pieces"]

# Finds the columns of users, items, ratings and times: form -> {role: name}.
Picker: TypeAlias = Callable[[TextForm], Mapping[str, str]]

# Some three hundred thousand ratings at once.
_SIZE = 2**21
_POWERS = 10 ** np.arange(1, 19, dtype=np.int64)


def read_pieces(path: Path, pick: Picker, size: int = _SIZE) -> Iterator[pandas.DataFrame]:
    r"""Read a text file of ratings into columns, piece by piece.

    Labels that are whole numbers and ratings that are numbers are read as such where nothing is
    lost by it (``007`` stays text); all else is text. Not for values, which are not looked at.

    Args:
        path: The file, UTF-8; see `find_form`.
        pick: Finds the columns.
        size: Characters of a piece, roughly.

    Yields:
        Frames with the columns ``user``, ``item``, ``rating`` and perhaps ``time``, whose index
        is the number of each line, from 1; an empty one where the file has a header alone.

    Raises:
        ValueError: A line has more or fewer fields than the first, the file is empty, or it is
            no UTF-8 text.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "u.data")
        ...     _ = path.write_text("1\t10\t5\n\n2\t10\t3\n")
        ...     roles = dict(zip(("user", "item", "rating"), ("user", "item", "rating")))
        ...     [frame.index.tolist() for frame in read_pieces(path, lambda form: roles)]
        [[1, 3]]
    """
    reader: _Reader | None = None
    number, empty = 0, True
    for piece in cut_pieces(path, size):
        check_text(path, piece, number)
        lines = piece.count(b"\n")
        if reader is None:
            blank = len(piece) - len(piece.lstrip(b"\n"))
            first, _, rest = piece[blank:].partition(b"\n")
            if not first.strip():
                number += lines
                continue
            form = find_form(path, first.decode(), number + blank + 1)
            reader = _Reader(form, pick(form))
            if form.with_header:
                number, piece = number + blank + 1, rest
                lines -= blank + 1
        frame = reader.read(piece, number)
        number += lines
        if len(frame):
            empty = False
            yield frame
    if reader is None:
        raise ValueError(
            f"read_ratings: '{path.name}' is empty; expected a rating in each line. Copy it again."
        )
    if empty:
        yield reader.read(b"", number)


class _Reader:
    """Reads pieces of a file of one form.

    Args:
        form: The form.
        picked: ``{role: name}`` of the columns.
    """

    def __init__(self, form: TextForm, picked: Mapping[str, str]):
        self._form = form
        self._picked = dict(picked)
        self._places = {role: form.columns.index(name) for role, name in picked.items()}
        # Columns that were found to be no numbers, or to lose by it.
        self._text: set[str] = set()

    def read(self, piece: bytes, number: int) -> pandas.DataFrame:
        """Read the lines after line ``number``."""
        frame = self._read_clean(piece.rstrip(b"\n"), number)
        return self._read_lines(piece, number) if frame is None else frame

    def _read_clean(self, piece: bytes, number: int) -> pandas.DataFrame | None:
        """Lines of as many fields each, none with a mark or a quote in quotes; None for others."""
        import pandas

        mark, width = self._form.mark.encode(), len(self._form.columns)
        if mark == b"::":
            mark, piece = b"\t", b"" if b"\t" in piece else piece.replace(b"::", b"\t")
        if b'"' in piece:
            piece = (
                _strip_quotes(piece, mark) if len(mark) == 1 and self._form.mark != "::" else b""
            )
        if not piece or not mark or width < 2:
            return None
        text = np.frombuffer(piece, dtype=np.uint8)
        ends = np.append(np.flatnonzero(text == 10), len(text))
        places = np.flatnonzero(text == mark[0])
        if len(places) != len(ends) * (width - 1):
            return None
        marks = places.reshape(-1, width - 1)
        if np.any(marks[:, -1] > ends) or np.any(marks[1:, 0] < ends[:-1]):
            return None
        edges = [np.append(-1, ends[:-1]), *marks.T, ends]
        columns: dict[str, Any] = {}
        while len(columns) < len(self._places):
            unread = {role: at for role, at in self._places.items() if role not in columns}
            found = pandas.read_csv(
                io.BytesIO(piece),
                sep=mark.decode(),
                header=None,
                names=range(width),
                index_col=False,
                usecols=sorted(set(unread.values())),
                dtype={at: str for role, at in unread.items() if role in self._text},
                quoting=csv.QUOTE_NONE,
                keep_default_na=False,
                skip_blank_lines=False,
                low_memory=False,
                encoding="utf-8",
            )
            for role, at in unread.items():
                if role in self._text or _keeps_all(role, found[at], *edges[at : at + 2]):
                    columns[role] = found[at]
                else:
                    self._text.add(role)
        frame = pandas.DataFrame(columns)
        frame.index = pandas.RangeIndex(number + 1, number + 1 + len(frame))
        return frame

    def _read_lines(self, piece: bytes, number: int) -> pandas.DataFrame:
        """Lines of any kind, each looked at by itself."""
        import pandas

        every = piece.decode().split("\n")
        numbers = [number + at for at, line in enumerate(every, 1) if line.strip()]
        lines = [line for line in every if line.strip()]
        if self._form.is_json:
            columns = self._read_objects(lines, numbers)
        else:
            rows = self._split_lines(lines, numbers)
            columns = {
                role: pandas.Series([row[at] for row in rows], dtype=object)
                for role, at in self._places.items()
            }
        frame = pandas.DataFrame(columns)
        frame.index = pandas.Index(numbers, dtype=np.int64)
        return frame

    def _split_lines(self, lines: list[str], numbers: list[int]) -> list[list[str]]:
        form, width = self._form, len(self._form.columns)
        if form.mark == "::":
            rows = [line.split("::") for line in lines]
        else:
            rows = list(csv.reader(lines, delimiter=form.mark))
            if len(rows) != len(lines):  # a quote that is not closed runs on to the next line
                rows = [form.split(line) for line in lines]
        for at, row in zip(numbers, rows, strict=True):
            if len(row) != width:
                raise ValueError(
                    f"read_ratings: line {at} of '{form.name}' has {len(row)} fields; expected "
                    f"{width}, as in line {form.number}. Correct the line or drop it; if it is "
                    "the last one, the file may have been cut off."
                )
        return rows

    def _read_objects(self, lines: list[str], numbers: list[int]) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {role: [] for role in self._picked}
        for at, line in zip(numbers, lines, strict=True):
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"read_ratings: line {at} of '{self._form.name}' is no JSON ({error}); "
                    "expected an object. Correct the line or drop it; if it is the last one, the "
                    "file may have been cut off."
                ) from error
            for role, name in self._picked.items():
                if not isinstance(entry, dict) or name not in entry:
                    raise ValueError(
                        f"read_ratings: line {at} of '{self._form.name}' has no '{name}'; "
                        f"expected one, as in line {self._form.number}. Add it or drop the line."
                    )
                columns[role].append(entry[name])
        return columns


def _strip_quotes(piece: bytes, mark: bytes) -> bytes:
    """Take off quotes that stand around whole fields; nothing is left where one does not."""
    text = np.frombuffer(piece, dtype=np.uint8)
    quotes = np.flatnonzero(text == ord('"'))
    if len(quotes) % 2:
        return b""
    between = (text == ord("\n")) | (text == ord(mark))
    edges = np.concatenate([[True], between, [True]])
    opened, closed = quotes[::2], quotes[1::2]
    places = np.flatnonzero(between)
    same = np.array_equal(np.searchsorted(places, opened), np.searchsorted(places, closed))
    whole = same and edges[opened].all() and edges[closed + 2].all()
    return piece.replace(b'"', b"") if whole else b""


def _keeps_all(role: str, column: pandas.Series, before: np.ndarray, after: np.ndarray) -> bool:
    """True where a column says as much as its text: a number as long as its field.

    Fields lie between these positions.
    """
    if column.dtype.kind not in "iufb":
        return True
    if role not in ("user", "item"):
        return column.dtype.kind in "iuf"
    if column.dtype != np.int64:
        return False
    values = column.to_numpy()
    digits = 1 + np.searchsorted(_POWERS, values, side="right")
    return bool(np.all(values >= 0) and np.array_equal(digits, after - before - 1))
