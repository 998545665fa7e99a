"""Ratings from files, frames, matrices and arrays."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ppl_ext.factorization.data.collecting import collect_ratings
from ppl_ext.factorization.data.columns import (
    collect_frame,
    collect_pieces,
    pick_columns,
    pick_from_form,
)
from ppl_ext.factorization.data.ratings import Ratings

if TYPE_CHECKING:
    import pandas

__all__ = ["read_ratings"]


def read_ratings(
    source: Any,
    *,
    user: str = "",
    item: str = "",
    rating: str = "",
    time: str | None = "",
    scale: tuple[float, float] | None = None,
    keep_last: bool = False,
    user_ids: np.ndarray | None = None,
    item_ids: np.ndarray | None = None,
) -> Ratings:
    r"""Read ratings and check every one of them.

    A path ending in ``.parquet`` is read as Parquet. Any other file is text: a JSON object in each
    line, or fields between double colons, tabs, semicolons, bars, commas or spaces. One ending in
    ``.csv`` or ``.tsv`` has a header, and so has one without a number in its first line; else the
    columns are user, item, rating and perhaps time, as MovieLens has them (``u.data``,
    ``ratings.dat``). Ratings may have decimal commas, times may be dates (ISO 8601), which become
    seconds since 1970. Of a SciPy matrix every stored entry is a rating, zeros among them. Not
    for implicit feedback, where what is missing says something.

    Args:
        source: A path, a pandas frame, a SciPy sparse matrix ``[user, item]``, or a tuple of
            arrays ``(users, items, ratings)`` or ``(users, items, ratings, times)``.
        user: Name of the column of users; one of the usual names if empty.
        item: Name of the column of items.
        rating: Name of the column of ratings.
        time: Name of the column of times, numbers such as seconds or dates; None for none.
        scale: Lowest and highest rating that is allowed.
        keep_last: Where a user rated an item more than once, keep the last instead of refusing;
            times say which it is, where there are any.
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

    Warns:
        UserWarning: A few labels are no integers, and nearly all others are.

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
        if path.suffix.lower() != ".parquet":
            # Imported when it is called for, as pandas is.
            from ppl_ext.factorization.data.lines import read_pieces

            return collect_pieces(read_pieces(path, pick_from_form(names)), path.name, checks)
        source, where = _read_parquet(path), path.name
    elif type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        where = "the frame"
    else:
        raise TypeError(
            f"read_ratings: got a {type(source).__name__}; expected a path, a pandas frame, a "
            "SciPy sparse matrix or a tuple of arrays. Write read_ratings((users, items, "
            "ratings)); of a table with nan where nothing is known, "
            "read_ratings((*np.nonzero(known), table[known]))."
        )
    picked = pick_columns(source.columns, names, where)
    frame = source[list(picked.values())].set_axis(list(picked), axis=1)
    return collect_frame(frame, "row {}".format, checks)


def _read_parquet(path: Path) -> pandas.DataFrame:
    if find_spec("pyarrow") is None and find_spec("fastparquet") is None:
        raise ModuleNotFoundError(
            f"read_ratings: '{path.name}' is Parquet, and neither pyarrow nor fastparquet is "
            "installed; expected one of them. Run: pip install pyarrow."
        )
    import pandas

    return pandas.read_parquet(path)
