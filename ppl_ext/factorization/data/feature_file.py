"""A file of features as a frame of numbers, one row for each label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ppl_ext.factorization.data.columns import to_labels

if TYPE_CHECKING:
    import pandas

__all__ = ["read_feature_file"]

_MARKS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
# Words with more values than this are names, and no feature.
_MOST_VALUES = 200


def read_feature_file(path: Path) -> pandas.DataFrame:
    r"""Read a table whose first column holds labels and whose other columns hold features.

    A column of words becomes a column for each of its values, 1 where it is there; an empty cell
    among words is none of them.

    Args:
        path: The file, UTF-8, with a header; fields between tabs, semicolons, bars or commas.

    Returns:
        A frame of numbers, with the labels as its index.

    Raises:
        ValueError: The file is no such table, or a column has too many different words.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "films.csv")
        ...     _ = path.write_text("film,year,genre\n7,1995,drama\n9,1940,\n")
        ...     read_feature_file(path).to_dict("list")
        {'year': [1995, 1940], 'genre=drama': [1.0, 0.0]}
    """
    import pandas

    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline()
        mark = next((mark for mark in _MARKS if mark in first), ",")
        frame = pandas.read_csv(path, sep=mark, encoding="utf-8-sig", dtype={0: str}, index_col=0)
    except (UnicodeDecodeError, pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
        raise ValueError(
            f"read_feature_file: '{path.name}' is no table ({str(error).strip()}); expected UTF-8 "
            "text with a header, a label first in each line, and features after it. Save it as "
            "CSV again."
        ) from error
    frame.index = pandas.Index(to_labels(frame.index.to_series().fillna("")))
    for name in frame.columns:
        if frame[name].dtype.kind in "biuf":
            continue
        _refuse_spoilt_numbers(path, name, frame[name])
        count = frame[name].nunique()
        if count > _MOST_VALUES:
            raise ValueError(
                f"read_feature_file: column '{name}' of '{path.name}' holds {count:,} different "
                f"words; expected numbers, or at most {_MOST_VALUES} words. Leave the column out."
            )
        dummies = pandas.get_dummies(frame[[name]], prefix_sep="=", dtype=float)
        frame = pandas.concat([frame.drop(columns=name), dummies], axis=1)
    return frame


def _refuse_spoilt_numbers(path: Path, name: str, column: pandas.Series) -> None:
    """Refuse a column of numbers with a word or two, which are most likely slips."""
    import pandas

    there = column.notna()
    words = there & pandas.to_numeric(column, errors="coerce").isna()
    if 0 < 2 * words.sum() < there.sum():
        label = column.index[words][0]
        raise ValueError(
            f"read_feature_file: column '{name}' of '{path.name}' holds numbers, and "
            f"{column[words].iloc[0]!r} for '{label}'; expected numbers or words alone. Correct "
            "it, or leave the cell empty."
        )
