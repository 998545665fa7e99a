"""How a text file of ratings is written: what parts its fields, what its columns are called."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TextForm", "find_form", "is_number"]

_MARKS = ("::", "\t", ";", "|", ",", " ")
_COLUMNS = ("user", "item", "rating", "time")
_NAMED = (".csv", ".tsv")


@dataclass(frozen=True)
class TextForm:
    """The form of a file.

    Args:
        name: Name of the file, for messages.
        mark: What parts the fields; empty where each line is a JSON object.
        columns: Names of the columns.
        number: Number of the first line that is not blank.
        with_header: True where this line names the columns.
    """

    name: str
    mark: str
    columns: tuple[str, ...]
    number: int
    with_header: bool

    @property
    def is_json(self) -> bool:
        """True where each line is a JSON object."""
        return not self.mark

    def split(self, line: str) -> list[str]:
        """Fields of a line, quotes taken off."""
        if self.mark == "::":
            return line.split("::")
        return next(csv.reader([line], delimiter=self.mark))


def find_form(path: Path, first: str, number: int) -> TextForm:
    """Read the form off the first line that is not blank.

    Files called ``*.csv`` or ``*.tsv`` have a header, and others where no field of the first line
    is a number; else the columns are user, item, rating and perhaps time.

    Args:
        path: The file, for its name.
        first: The line.
        number: Its number.

    Returns:
        The form.

    Raises:
        ValueError: The file is no table of ratings.
    """
    if first.lstrip().startswith("["):
        raise ValueError(
            f"read_ratings: '{path.name}' begins like one JSON array; expected an object in each "
            "line, or a table. Read it first: read_ratings(pandas.read_json(path))."
        )
    if first.lstrip().startswith("{"):
        return TextForm(path.name, "", _read_keys(path, first, number), number, False)
    mark = _find_mark(first)
    form = TextForm(path.name, mark, (), number, False)
    fields = [field.strip() for field in form.split(first)]
    if path.suffix.lower() in _NAMED or not any(map(is_number, fields)):
        # RecBole writes the type after the name: user_id:token.
        names = tuple(field.partition(":")[0] if mark != "::" else field for field in fields)
        return TextForm(path.name, mark, names, number, True)
    if len(fields) not in (3, 4):
        raise ValueError(
            f"read_ratings: line {number} of '{path.name}' has {len(fields)} fields; expected "
            "user, item, rating and perhaps a time. With a header, call the file *.csv or *.tsv; "
            "a table with a row for each user and a column for each item is read by "
            "read_ratings((*np.nonzero(known), table[known]))."
        )
    return TextForm(path.name, mark, _COLUMNS[: len(fields)], number, False)


def is_number(field: str) -> bool:
    """True where a field is a number, with a point or a comma."""
    try:
        float(field.replace(",", ".", 1))
    except ValueError:
        return False
    return True


def _find_mark(line: str) -> str:
    """The mark that parts a line into three fields or more, or else into any."""
    counts = {mark: len(next(csv.reader([line], delimiter=mark))) for mark in _MARKS[1:]}
    counts["::"] = line.count("::") + 1
    for least in (3, 2):
        for mark in _MARKS:
            if counts[mark] >= least:
                return mark
    return ","


def _read_keys(path: Path, first: str, number: int) -> tuple[str, ...]:
    try:
        entry = json.loads(first)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"read_ratings: line {number} of '{path.name}' begins like JSON and is none ({error});"
            " expected an object in each line. Correct the line."
        ) from error
    return tuple(entry)
