"""FCS files and gates as one data set."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.cytometry.data import UNKNOWN, CytometryData
from models.cytometry.fcs import FCSError, read_fcs

__all__ = ["COFACTOR", "read_cells", "read_gates"]

COFACTOR = 150.0  # usual for flow cytometers; for mass cytometers it is 5


def read_cells(
    paths: Sequence[str | Path],
    *,
    markers: Sequence[str] | None = None,
    cofactor: float = COFACTOR,
    compensate: bool = True,
    gates: str | Path | None = None,
) -> CytometryData:
    """Read FCS files into one data set, with the file as a coordinate.

    Markers become ``arcsinh(value / cofactor)``; time and scatter stay as they are, in
    `CytometryData.extra`.

    Args:
        paths: Files, which may have their channels in any order.
        markers: Those to take, by the name of the marker or of the detector; None takes all that
            every file has.
        cofactor: Below it the scale is linear, above it logarithmic; 150 for flow cytometers and
            5 for mass cytometers.
        compensate: As for `read_fcs`.
        gates: CSV file of labels; see `read_gates`.

    Returns:
        The cells of all files, in their order.

    Raises:
        FCSError: A file that cannot be read, a marker that one does not have, or gates that are
            not of these files.
        ValueError: A cofactor that is not positive, or no files.
    """
    if not paths or not cofactor > 0:
        raise ValueError(
            f"read_cells: {len(paths)} files and cofactor={cofactor}, expected a file and a "
            "positive cofactor: 150 for flow cytometers, 5 for mass cytometers."
        )
    read = [read_fcs(path, compensate=compensate) for path in paths]
    sources = tuple(each.source for each in read)
    if len(set(sources)) < len(sources):
        raise FCSError(f"read_cells: two files of one name among {', '.join(sources)}.")
    columns = [_name_columns(each) for each in read]
    kinds = dict(zip(read[0].markers, read[0].kinds, strict=True))
    shared = [name for name in read[0].markers if all(name in each for each in columns)]
    wanted = list(markers or (name for name in shared if kinds[name] == "marker"))
    for each, names in zip(read, columns, strict=True):
        absent = [name for name in wanted if name not in names]
        if absent or not wanted:
            raise FCSError(
                f"read_cells: {each.source} has no {', '.join(absent) or 'marker of all files'}; "
                f"it has {', '.join(each.markers)}."
            )

    def gather(name: str) -> np.ndarray:
        return np.concatenate(
            [each.events[:, names[name]] for each, names in zip(read, columns, strict=True)]
        )

    counts = [len(each.events) for each in read]
    labels, populations = (None, ()) if gates is None else read_gates(gates, sources, counts)
    return CytometryData(
        values=np.arcsinh(np.stack([gather(name) for name in wanted], 1) / cofactor),
        markers=tuple(wanted),
        labels=labels,
        populations=populations,
        file=np.repeat(np.arange(len(read)), counts),
        files=sources,
        extra={name: gather(name) for name in shared if kinds[name] != "marker"},
    )


def _name_columns(file) -> dict[str, int]:
    """Columns by detector, and by marker, which goes first."""
    places = range(len(file.detectors))
    return dict(zip(file.detectors, places, strict=True)) | dict(
        zip(file.markers, places, strict=True)
    )


def read_gates(
    path: str | Path, files: Sequence[str], counts: Sequence[int]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read gates from a CSV file with a column ``population``, and one line for each cell or less.

    With a column ``cell``, the place of the cell in its file from 0, cells may be missing; without
    it there is a line for each cell, in the order of the files. Where there are several files and
    the column ``cell``, a column ``file`` names the file. A population that is empty is not known.

    Args:
        path: CSV file.
        files: Names of the files.
        counts: Number of cells of each.

    Returns:
        ``[cell]`` labels, and the names of the populations in the order of the alphabet.

    Raises:
        FCSError: Columns are missing, or a line names a file or a cell that is not there.
    """
    source = Path(path).name
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as text:
            rows = list(csv.DictReader(text))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FCSError(
            f"read_gates: {source} is no table in UTF-8 ({error}); save it as CSV again."
        ) from error
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise FCSError(
                f"read_gates: line {line} of {source} has more or fewer cells than the first; "
                "correct it. If it is the last one, the file may have been cut off."
            )
    found = list(rows[0]) if rows else []
    by_cell = "cell" in found
    needed = ["population", *(["file"] if by_cell and len(files) > 1 else [])]
    if not set(needed) <= set(found):
        raise FCSError(
            f"read_gates: {source} has columns {', '.join(found) or 'none'}, expected "
            f"{', '.join(needed)}."
        )
    if not by_cell and len(rows) != sum(counts):
        raise FCSError(
            f"read_gates: {source} has {len(rows)} lines for {sum(counts)} cells; give every cell "
            "a line, or name the cells in a column `cell`, counted from 0."
        )
    names = [row["population"].strip() for row in rows]
    populations = tuple(sorted(set(names) - {""}))
    first = dict(zip(files, np.cumsum([0, *counts]), strict=False))
    sizes = dict(zip(files, counts, strict=True))
    labels = np.full(sum(counts), UNKNOWN)
    for line, (row, name) in enumerate(zip(rows, names, strict=True), start=2):
        place = line - 2
        if by_cell:
            file = row.get("file", files[0]) if len(files) > 1 else files[0]
            cell = row["cell"].strip()
            if file not in sizes or not cell.isdecimal() or int(cell) >= sizes[file]:
                raise FCSError(
                    f"read_gates: line {line} of {source} names cell {cell!r} of {file!r}; cells "
                    f"run from 0 in {', '.join(f'{f} to {n - 1}' for f, n in sizes.items())}."
                )
            place = first[file] + int(cell)
        labels[place] = populations.index(name) if name else UNKNOWN
    return labels, populations
