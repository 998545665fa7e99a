"""Ratings from files, frames, matrices and arrays."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ppl_ext.factorization.data.labels import LabelBook, read_integers
from ppl_ext.factorization.data.ratings import Ratings, collect_ratings

if TYPE_CHECKING:
    import pandas

__all__ = ["collect_frame", "find_column", "read_ratings", "to_labels"]

# Headers as the common data sets write them; the first that is there is taken.
_USUAL = {
    "user": ("user", "user_id", "userid", "uid", "reviewerid"),
    "item": ("item", "item_id", "itemid", "movie", "movie_id", "movieid", "iid", "isbn", "asin"),
    "rating": ("rating", "value", "score", "overall", "stars", "rating_value"),
    "time": ("timestamp", "time", "date", "unixreviewtime"),
}


def read_ratings(
    source: Any,
    *,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    time: str | None = None,
    scale: tuple[float, float] | None = None,
    keep_last: bool = False,
    user_ids: np.ndarray | None = None,
    item_ids: np.ndarray | None = None,
) -> Ratings:
    r"""Read ratings and check every one of them.

    A path ending in ``.parquet`` is read as Parquet, one ending in ``.csv`` or ``.tsv`` has a
    header, anything else is MovieLens: user, item, rating and perhaps a time in each line, between
    tabs (``u.data``) or double colons (``ratings.dat``). Of a SciPy matrix every stored entry is a
    rating, zeros among them. Not for implicit feedback, where what is missing says something.

    Args:
        source: A path, a pandas frame, a SciPy sparse matrix ``[user, item]``, or a tuple of
            arrays ``(users, items, ratings)`` or ``(users, items, ratings, times)``.
        user: Name of the column of users; one of the usual names if None.
        item: Name of the column of items.
        rating: Name of the column of ratings.
        time: Name of the column of times, numbers such as seconds.
        scale: Lowest and highest rating that is allowed.
        keep_last: Where a user rated an item more than once, keep the last instead of refusing.
        user_ids: Labels of all users, in order, so that two files share them; those that occur,
            sorted, if None.
        item_ids: Labels of all items, likewise.

    Returns:
        The ratings, with text or integers as labels.

    Raises:
        ValueError: A line is malformed, a column is unknown, a value is missing or off the scale,
            an id is negative or missing, or a pair occurs twice; the message names the line.
        TypeError: The source is none of the above.
        ModuleNotFoundError: Parquet is asked for and nothing that reads it is installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "ratings.csv")
        ...     _ = path.write_text("user,movie,rating\nann,7,4\nbob,7,2.5\n")
        ...     read_ratings(path)
        Ratings(2 ratings, 2 users, 1 items, values 2.5 to 4)
        >>> read_ratings((["ann", "ann"], [7, 7], [4, 5]))
        Traceback (most recent call last):
            ...
        ValueError: read_ratings: rating 1 rates item 7 by user ann again, after rating 0; ...

    References:
        Harper, Konstan (2015), The MovieLens datasets: history and context, ACM TiiS 5(4).
    """
    checks: dict[str, Any] = {
        "scale": scale,
        "keep_last": keep_last,
        "user_ids": user_ids,
        "item_ids": item_ids,
    }
    names = {"user": user, "item": item, "rating": rating, "time": time}
    if sparse.issparse(source):
        entries = source.tocoo()
        for axis, (name, ids) in enumerate((("user_ids", user_ids), ("item_ids", item_ids))):
            rows = entries.shape[axis]
            checks[name] = np.arange(rows) if ids is None else np.asarray(ids)
            if checks[name].shape != (rows,):
                raise ValueError(
                    f"read_ratings: {name} has the shape {checks[name].shape}, and the matrix "
                    f"{entries.shape}; expected {rows:,} labels. Leave {name} out, or give one "
                    "for each row of users and each column of items."
                )
        users, items = checks["user_ids"][entries.row], checks["item_ids"][entries.col]
        return collect_ratings(users, items, entries.data, **checks)
    if isinstance(source, tuple) and len(source) in (3, 4):
        return collect_ratings(*source, **checks)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.suffix.lower() == ".parquet":
            return collect_frame(_read_parquet(path), names, path.name, "row {}".format, checks)
        return _collect_lines(path, names, checks)
    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        return collect_frame(source, names, "the frame", "row {}".format, checks)
    raise TypeError(
        f"read_ratings: got a {type(source).__name__}; expected a path, a pandas frame, a SciPy "
        "sparse matrix or a tuple of arrays. Write read_ratings((users, items, ratings)); of a "
        "table with nan where nothing is known, read_ratings((*np.nonzero(known), table[known]))."
    )


def collect_frame(
    frame: pandas.DataFrame,
    names: dict[str, str | None],
    where: str,
    name_place: Any,
    checks: dict[str, Any],
) -> Ratings:
    """Check the columns of a frame.

    Args:
        frame: The columns, of text or numbers.
        names: Names of the columns of users, items, ratings and times; None for the usual ones.
        where: What the frame is called in messages.
        name_place: Says where a rating stands: position -> words.
        checks: What else `collect_ratings` takes.

    Returns:
        The ratings.
    """
    found = {role: find_column(frame, role, name, where) for role, name in names.items()}
    values = _to_numbers(frame[found["rating"]], "rating", name_place)
    times = None
    if found["time"] is not None:
        times = _to_numbers(frame[found["time"]], "time", name_place)
    return collect_ratings(
        to_labels(frame[found["user"]]),
        to_labels(frame[found["item"]]),
        values,
        times,
        name_place=name_place,
        **checks,
    )


def _collect_lines(path: Path, names: dict[str, str | None], checks: dict[str, Any]) -> Ratings:
    """Read a text file piece by piece, so that it is never whole in memory as text."""
    from ppl_ext.factorization.data.lines import find_line, read_pieces

    with_header = path.suffix.lower() in (".csv", ".tsv")
    if not with_header:
        names = {role: role for role in _USUAL}
    users, items = LabelBook(), LabelBook()
    values: list[np.ndarray] = []
    times: list[np.ndarray] = []
    found: dict[str, str | None] = {}
    for frame in read_pieces(path, with_header):
        if not found:
            found = {role: find_column(frame, role, name, path.name)
                     for role, name in names.items()}  # fmt: skip
        lines = frame.index

        def name_here(at: int, lines: Any = lines) -> str:
            return f"line {lines[at]} of '{path.name}'"

        users.add(frame[found["user"]])
        items.add(frame[found["item"]])
        values.append(_to_numbers(frame[found["rating"]], "rating", name_here))
        if found["time"] is not None:
            times.append(_to_numbers(frame[found["time"]], "time", name_here))

    def name_place(at: int) -> str:
        return f"line {find_line(path, with_header, at)} of '{path.name}'"

    return collect_ratings(
        users.close(),
        items.close(),
        np.concatenate(values),
        np.concatenate(times) if times else None,
        name_place=name_place,
        **checks,
    )


def find_column(frame: pandas.DataFrame, role: str, name: str | None, where: str) -> str | None:
    """Name of the column of users, items, ratings or times; None where there are no times."""
    columns = [str(column) for column in frame.columns]
    if name is not None:
        if name in columns or (role == "time" and name == "time"):
            return name if name in columns else None
        raise ValueError(
            f"read_ratings: {where} has the columns {_list_columns(columns)}; expected '{name}' "
            "among them. "
            f"Write {role}= and one of these names."
        )
    lowered = {column.strip().lower(): column for column in columns}
    for usual in _USUAL[role]:
        if usual in lowered:
            return lowered[usual]
    if role == "time":
        return None
    raise ValueError(
        f"read_ratings: {where} has the columns {_list_columns(columns)}; none is called like "
        f"{'an' if role == 'item' else 'a'} {role} ({', '.join(_USUAL[role])}). Name it: "
        f"read_ratings(source, {role}='...'), or --{role} on the command line. Where the first "
        "line is a rating, put such names above it."
    )


def _list_columns(columns: list[str]) -> str:
    more = f" and {len(columns) - 8:,} more" if len(columns) > 8 else ""
    return f"{columns[:8]}{more}"


def _to_numbers(column: Any, role: str, name_place: Any) -> np.ndarray:
    import pandas

    numbers = pandas.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    missing = np.isnan(numbers)
    if missing.any():
        at = int(np.argmax(missing))
        found = column.iloc[at]
        shown = repr(found) if isinstance(found, str) else str(found)
        shown = shown if str(found).strip() else "nothing"
        raise ValueError(
            f"read_ratings: {name_place(at)} has {shown} as its {role}; expected a number. "
            "Correct the line or drop it; if it is the last one, the file may have been cut off."
        )
    return np.asarray(numbers)


def to_labels(column: Any) -> np.ndarray:
    """Integers where all labels are written as such, else text.

    Args:
        column: A pandas series.

    Returns:
        ``[row]``.
    """
    labels = column.to_numpy()
    if labels.dtype.kind in "iuf":
        return np.asarray(labels)
    return read_integers(np.asarray([str(label).strip() for label in labels], dtype=object))


def _read_parquet(path: Path) -> pandas.DataFrame:
    if find_spec("pyarrow") is None and find_spec("fastparquet") is None:
        raise ModuleNotFoundError(
            f"read_ratings: '{path.name}' is Parquet, and neither pyarrow nor fastparquet is "
            "installed; expected one of them. Run: pip install pyarrow."
        )
    import pandas

    return pandas.read_parquet(path)
