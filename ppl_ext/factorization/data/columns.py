"""The columns of users, items, ratings and times: found by name, and read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.factorization.data.collecting import collect_ratings
from ppl_ext.factorization.data.labels import LabelBook, read_integers
from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.data.text_form import TextForm

if TYPE_CHECKING:
    import pandas

__all__ = [
    "ColumnNames",
    "Place",
    "collect_frame",
    "collect_pieces",
    "pick_columns",
    "pick_from_form",
    "to_labels",
]

# {role: name}, "" for one of the usual names; None for no times.
ColumnNames = Mapping[str, str | None]
# Says where a rating stands: position -> words.
Place = Callable[[int], str]

# Headers as the common data sets write them, letters alone; the first that is there is taken.
_USUAL = {
    "user": ("user", "userid", "uid", "reviewerid", "reviewer", "username", "customerid"),
    "item": ("item", "itemid", "movie", "movieid", "iid", "isbn", "asin", "parentasin",
             "businessid", "animeid", "bookid", "productid", "artistid", "songid", "gameid"),
    "rating": ("rating", "value", "score", "overall", "stars", "ratingvalue", "bookrating"),
    "time": ("timestamp", "time", "date", "unixreviewtime", "unixtime", "datetime"),
}  # fmt: skip
_COMMA = re.compile(r"\s*[-+]?\d*(,\d+)?\s*")


def pick_columns(columns: Sequence[Any], names: ColumnNames, where: str) -> dict[str, Any]:
    """Find the columns by role.

    Args:
        columns: Names of all columns.
        names: Those of each role.
        where: What the table is called in messages.

    Returns:
        ``{role: name}``; without "time" where there are no times.

    Raises:
        ValueError: A column is not there.
    """
    texts = {str(column): column for column in columns}
    usual = {re.sub(r"[^a-z]", "", text.lower()): column for text, column in texts.items()}
    found = {}
    for role, name in names.items():
        if name is None and role == "time":
            continue
        if name:
            if name not in texts:
                raise ValueError(
                    f"read_ratings: {where} has the columns {_list(texts)}; expected '{name}' "
                    f"among them. Write {role}= and one of these names."
                )
            found[role] = texts[name]
            continue
        chosen = next((usual[each] for each in _USUAL[role] if each in usual), None)
        if chosen is not None:
            found[role] = chosen
        elif role != "time":
            raise ValueError(_say_missing(role, list(texts), where))
    return found


def _say_missing(role: str, columns: list[str], where: str) -> str:
    said = (
        f"read_ratings: {where} has the columns {_list(columns)}; none is called like "
        f"{'an' if role == 'item' else 'a'} {role} ({', '.join(_USUAL[role])}). "
    )
    if len(columns) > 8:
        return said + (
            "If it has a row for each user and a column for each item, make a row of each rating: "
            f"frame.melt(id_vars={columns[0]!r}, var_name='item', value_name='rating').dropna()."
        )
    return said + (
        f"Name it: read_ratings(source, {role}='...'), or --{role} on the command line. Where the "
        "first line is a rating, put such names above it."
    )


def pick_from_form(names: ColumnNames) -> Callable[[TextForm], dict[str, Any]]:
    """The same of a file, whose columns go by their roles where they have no names."""

    def pick(form: TextForm) -> dict[str, Any]:
        if form.with_header or form.is_json:
            return pick_columns(form.columns, names, form.name)
        return {role: role for role in form.columns if names[role] is not None}

    return pick


def collect_frame(
    frame: pandas.DataFrame, name_place: Place, checks: Mapping[str, Any]
) -> Ratings:
    """Check the columns of a frame.

    Args:
        frame: The columns ``user``, ``item``, ``rating`` and perhaps ``time``.
        name_place: Says where a rating stands.
        checks: What else `collect_ratings` takes.

    Returns:
        The ratings.
    """
    times = None
    if "time" in frame:
        times = _to_times(frame["time"], name_place)
    values = _to_numbers(frame["rating"], "rating", name_place)
    users, items = to_labels(frame["user"]), to_labels(frame["item"])
    return collect_ratings(users, items, values, times, name_place=name_place, **checks)


def collect_pieces(pieces: Any, name: str, checks: Mapping[str, Any]) -> Ratings:
    """The same of a file, piece by piece, so that it is never whole in memory as text.

    Args:
        pieces: Frames, whose index is the number of each line.
        name: Name of the file.
        checks: What else `collect_ratings` takes.

    Returns:
        The ratings.
    """
    users, items = LabelBook(), LabelBook()
    values: list[np.ndarray] = []
    times: list[np.ndarray] = []
    lines: list[pandas.Index] = []

    def name_place(at: int) -> str:
        for each in lines:
            if at < len(each):
                return f"line {each[at]} of '{name}'"
            at -= len(each)
        raise IndexError(f"there is no rating {at} after the last of '{name}'")

    for frame in pieces:
        before = sum(map(len, values))

        def name_here(at: int, before: int = before) -> str:
            return name_place(before + at)

        lines.append(frame.index)
        users.add(frame["user"])
        items.add(frame["item"])
        values.append(_to_numbers(frame["rating"], "rating", name_here))
        if "time" in frame:
            times.append(_to_times(frame["time"], name_here))
    return collect_ratings(
        users.close(),
        items.close(),
        np.concatenate(values),
        np.concatenate(times) if times else None,
        name_place=name_place,
        **checks,
    )


def to_labels(column: pandas.Series) -> np.ndarray:
    """Integers where all labels are written as such, else text.

    Args:
        column: The column.

    Returns:
        ``[row]``.
    """
    labels = column.to_numpy()
    if labels.dtype.kind in "iuf":
        return np.asarray(labels)
    return read_integers(np.asarray([str(label).strip() for label in labels], dtype=object))


def _to_numbers(column: pandas.Series, role: str, name_place: Place) -> np.ndarray:
    import pandas

    if column.dtype.kind in "iuf":
        numbers = column.to_numpy(dtype=np.float64)
    else:
        numbers = pandas.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
        if np.isnan(numbers).any() and all(_COMMA.fullmatch(str(each)) for each in column):
            points = column.astype(str).str.replace(",", ".")
            numbers = pandas.to_numeric(points, errors="coerce").to_numpy(dtype=np.float64)
    _refuse_missing(column, numbers, role, name_place, "a number")
    return np.asarray(numbers)


def _to_times(column: pandas.Series, name_place: Place) -> np.ndarray:
    """Numbers, or dates as seconds since 1970."""
    import pandas

    if column.dtype.kind in "iuf":
        return _to_numbers(column, "time", name_place)
    if column.dtype.kind == "M":
        dates = column
    else:
        if not np.isnan(pandas.to_numeric(column, errors="coerce").iloc[:1]).any():
            return _to_numbers(column, "time", name_place)
        dates = pandas.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
    seconds = (dates.dt.tz_localize(None) if dates.dt.tz else dates).to_numpy("datetime64[us]")
    times = np.where(np.isnat(seconds), np.nan, seconds.astype(np.int64) / 1e6)
    _refuse_missing(column, times, "time", name_place, "a number or a date such as 2024-05-17")
    return times


def _refuse_missing(
    column: pandas.Series, numbers: np.ndarray, role: str, name_place: Place, wanted: str
) -> None:
    missing = np.isnan(numbers)
    if not missing.any():
        return
    at = int(np.argmax(missing))
    found = column.iloc[at]
    shown = repr(found) if isinstance(found, str) else str(found)
    shown = shown if str(found).strip() else "nothing"
    if missing.all() and len(column) > 1:
        way = (
            "Leave them out, time=None, or --no-time on the command line"
            if role == "time"
            else "Name the column that holds ratings, rating='...', or --rating"
        )
        raise ValueError(
            f"read_ratings: no {role} is {wanted}: {name_place(at)} has {shown}, and so on; "
            f"expected numbers. {way}."
        )
    raise ValueError(
        f"read_ratings: {name_place(at)} has {shown} as its {role}; expected {wanted}. "
        "Correct the line or drop it; if it is the last one, the file may have been cut off."
    )


def _list(columns: Any) -> str:
    every = list(columns)
    more = f" and {len(every) - 8:,} more" if len(every) > 8 else ""
    return f"{every[:8]}{more}"
