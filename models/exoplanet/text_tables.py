"""Tables as text: ECSV as astropy writes it, and columns with or without a header.

Cells stay text here, each row with the number of its line, so that whoever reads a cell can say
where it stands.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from models.exoplanet.columns import Column

__all__ = ["TextTable", "read_table"]

_COMMENTS = ("#", "%", "!")
_MISSING = {"", "nan", "--", "...", "null", "none", "na", "n/a"}
# Names that columns go by where nobody tells which, in lower case.
_USUAL = {
    "wavelength": ("wavelength", "wave", "wl", "lam", "lambda", "centralwavelng"),
    "depth": ("depth", "transit_depth", "dppm", "pl_trandep"),
    "error": ("error", "err", "depth_err", "depth_error", "transit_depth_err", "dppm_err"),
}
_UNIT = re.compile(r"^(.+?)\s*[\[(]([^\[\]()]*)[\])]$")  # name [unit] or name (unit)
_ECSV = "# %ECSV"


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are still text.

    Attributes:
        source: Name of the file.
        names: Of the columns; empty where the file has none.
        units: Of the columns, as the file writes them; None where it does not.
        rows: ``[row][column]``, cells.
        lines: ``[row]``, numbers of the lines, from 1.
    """

    source: str
    names: tuple[str, ...]
    units: tuple[str | None, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def read_column(self, column: str | int | None, role: str) -> Column:
        """Read a column of numbers.

        Args:
            column: Its name, or its place from 0; None looks for a usual name, and takes the
                places of wavelength, depth and error in three columns without names.
            role: The argument of `read_spectrum` that the column stands for.

        Returns:
            The column, NaN where a number is missing.

        Raises:
            ValueError: There is no such column, or a cell is no number.
        """
        place = self._find(column, role)
        name = self.names[place] if self.names else f"column {place}"
        values = np.empty(len(self.rows))
        for index, (row, line) in enumerate(zip(self.rows, self.lines, strict=True)):
            cell = row[place]
            try:
                values[index] = np.nan if cell.casefold() in _MISSING else float(cell)
            except ValueError:
                raise ValueError(
                    f"read_spectrum: line {line} of {self.source} has {cell!r} in '{name}'; "
                    "expected a number with a decimal point. Correct the line."
                ) from None
        return Column(name, self.units[place], values, np.array(self.lines), self.source)

    def _find(self, column: str | int | None, role: str) -> int:
        if isinstance(column, int) and 0 <= column < len(self.units):
            return column
        if column is None and not self.names and len(self.units) == len(_USUAL):
            return list(_USUAL).index(role)
        wanted = _USUAL[role] if column is None else (str(column),)
        names = [name.casefold() if column is None else name for name in self.names]
        places = [place for place, name in enumerate(names) if name in wanted]
        if len(places) == 1:
            return places[0]
        columns = list(self.names) or f"{len(self.units)} columns without names"
        what = f"no column {column!r}" if column is not None else f"no usual name of the {role}"
        if places:
            what = f"{len(places)} columns that may be the {role}"
        raise ValueError(
            f"read_spectrum: {self.source} has {what}; its columns are {columns}. Choose one by "
            f"name or by place from 0: read_spectrum(path, {role}={(self.names or (0,))[0]!r})."
        )


def read_table(path: Path) -> TextTable:
    """Read a table of text.

    Lines that begin with ``#``, ``%`` or ``!`` are comments. Columns are separated by what the
    second row shows: semicolons, else tabs, commas or blanks. The names are the first line if
    that is not all numbers, else the last comment before the numbers if it has as many words, of
    which one is usual or has a unit; units follow their names in brackets.

    Args:
        path: File, in UTF-8.

    Returns:
        The table.

    Raises:
        ValueError: There is no row, rows differ in length, or it is an IPAC table.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"read_spectrum: {path.name} is no UTF-8 text ({error.reason} at byte {error.start}); "
            "expected a table of text. Copy it again, or convert it: iconv -f latin1 -t utf-8."
        ) from error
    data = [(number, line) for number, line in enumerate(text, 1) if line.strip()]
    comments = [(number, line) for number, line in data if line.startswith(_COMMENTS)]
    data = [each for each in data if not each[1].startswith(_COMMENTS)]
    if any(line.startswith(("|", "\\")) for _, line in data[:1]):
        raise ValueError(
            f"read_spectrum: {path.name} is an IPAC table; expected ECSV or columns. Convert it: "
            "astropy.table.Table.read(path, format='ascii.ipac').write('spectrum.ecsv')."
        )
    if text and text[0].startswith(_ECSV):
        first = data[0][0] if data else len(text)
        header = [line for number, line in comments if number < first]
        names, units, delimiter = _read_ecsv_header(path.name, header)
        rows = _split(data[1:], delimiter)
    else:
        delimiter = _find_delimiter(data[min(1, len(data) - 1)][1]) if data else None
        rows = _split(data, delimiter)
        names, units = (), (None,) * (len(rows[0][1]) if rows else 0)
        if rows and not all(_is_number(cell) for cell in rows[0][1]):
            names, units = _split_units(rows.pop(0)[1])
        elif rows:
            before = [line for number, line in comments if number < data[0][0]]
            header = _read_comment(before[-1], delimiter) if before else ()
            if len(header) == len(rows[0][1]) and _names_columns(header):
                names, units = _split_units(header)
    _check(path.name, rows, len(units))
    return TextTable(
        path.name, names, units, tuple(cells for _, cells in rows), tuple(line for line, _ in rows)
    )


def _check(source: str, rows: Sequence[tuple[int, tuple[str, ...]]], width: int) -> None:
    if not rows:
        raise ValueError(
            f"read_spectrum: {source} has no row of numbers; expected a table of columns."
        )
    for line, cells in rows:
        if len(cells) != width:
            raise ValueError(
                f"read_spectrum: line {line} of {source} has {len(cells)} cells; expected {width} "
                "as in its first line. Correct the line, or write nan where a number is missing."
            )


def _read_ecsv_header(
    source: str, comments: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str | None, ...], str]:
    """Read names, units and delimiter from the YAML in the comments of an ECSV file."""
    lines = [line.removeprefix("#").removeprefix(" ") for line in comments[1:]]
    try:
        header = yaml.load("\n".join(lines), Loader=_HeaderLoader)
        columns = header["datatype"]
        names = tuple(str(column["name"]) for column in columns)
        # A column without a unit may be in any.
        units = tuple(column.get("unit") for column in columns)
        delimiter = header.get("delimiter", " ")
        if delimiter not in (" ", ","):
            raise ValueError(f"the delimiter is {delimiter!r}")
    except (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise ValueError(
            f"read_spectrum: the header of {source} is damaged ({type(error).__name__}: {why}); "
            "expected what astropy writes. Write it again: table.write('spectrum.ecsv')."
        ) from error
    return names, units, delimiter


class _HeaderLoader(yaml.SafeLoader):
    """Reads what is plain and makes no objects: those that astropy describes are not needed."""


_HeaderLoader.add_multi_constructor("!", lambda loader, suffix, node: None)


def _find_delimiter(line: str) -> str | None:
    """Find what separates the cells of a row; None stands for blanks."""
    return next((each for each in (";", "\t", ",") if each in line), None)


def _split(
    lines: Sequence[tuple[int, str]], delimiter: str | None
) -> list[tuple[int, tuple[str, ...]]]:
    rows = []
    for number, line in lines:
        if delimiter is None:
            cells = line.split()
        else:
            cells = next(csv.reader([line.strip(" ")], delimiter=delimiter))
        rows.append((number, tuple(cell.strip() for cell in cells)))
    return rows


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.casefold() in _MISSING
    return True


def _read_comment(line: str, delimiter: str | None) -> tuple[str, ...]:
    """Split a comment as a row of names, a unit in brackets with the name before it."""
    line = line.lstrip("".join(_COMMENTS)).strip()
    if delimiter is None or delimiter not in line:
        return tuple(re.sub(r"\s+([\[(])", r"\1", line).split())
    return _split([(0, line)], delimiter)[0][1]


def _names_columns(words: Sequence[str]) -> bool:
    """Tell names of columns from a sentence: one of them is usual, or has a unit."""
    names, units = _split_units(words)
    usual = {name for role in _USUAL.values() for name in role}
    return any(units) or bool(usual & {name.casefold() for name in names})


def _split_units(cells: Sequence[str]) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """Tell names from the units in brackets behind them."""
    found = [_UNIT.match(cell) for cell in cells]
    names = tuple(match[1] if match else cell for match, cell in zip(found, cells, strict=True))
    return names, tuple(match[2] if match else None for match in found)
