"""Columns of labels and numbers, checked and put together as ratings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ppl_ext.factorization.data.labels import Labels, number_labels, place_labels, refuse_nul
from ppl_ext.factorization.data.ratings import Ratings

__all__ = ["collect_ratings"]

# Ratings stay in double precision where single precision would be off by this, of their spread.
_ROUNDING = 1e-6


def collect_ratings(
    users: Sequence[Any] | np.ndarray | Labels,
    items: Sequence[Any] | np.ndarray | Labels,
    values: Sequence[float] | np.ndarray,
    times: Sequence[float] | np.ndarray | None = None,
    *,
    scale: tuple[float, float] | None = None,
    keep_last: bool = False,
    user_ids: np.ndarray | None = None,
    item_ids: np.ndarray | None = None,
    name_place: Callable[[int], str] = "rating {}".format,
) -> Ratings:
    """Check three columns and number their users and items.

    Not for files, whose lines `ppl_ext.factorization.read_ratings` names in its errors.

    Args:
        users: ``[rating]``, labels: text or integers, not negative.
        items: ``[rating]``, the same.
        values: ``[rating]``, finite numbers.
        times: ``[rating]``, when the ratings were given, finite numbers.
        scale: Lowest and highest rating that is allowed.
        keep_last: Where a user rated an item more than once, keep the last instead of refusing;
            times say which it is, where there are any.
        user_ids: Labels of all users, in order; those that occur, sorted, if None.
        item_ids: Labels of all items, likewise.
        name_place: Says where a rating stands: position -> words.

    Returns:
        The ratings.

    Raises:
        ValueError: There are no ratings, columns differ in length, a value is not finite or off
            the scale, an id is negative, missing or unknown, or a pair occurs twice.

    Example:
        >>> collect_ratings([3, 3], [1, 2], [4.0, float("nan")])
        Traceback (most recent call last):
            ...
        ValueError: read_ratings: rating 1 has the value nan; expected a finite number. Drop ...
    """
    values = np.asarray(values)
    for labels in (users, items):
        refuse_nul(labels, name_place)
    if not isinstance(users, Labels):
        users = np.asarray(users)
    if not isinstance(items, Labels):
        items = np.asarray(items)
    columns = [users, items, values]
    if times is not None:
        columns.append(np.asarray(times))
    shapes = [(len(column),) if isinstance(column, Labels) else column.shape for column in columns]
    if len(set(shapes)) > 1 or values.ndim != 1:
        raise ValueError(
            f"read_ratings: users, items, ratings (and times) have the shapes {shapes}; expected "
            "one axis of the same length. Give every rating one entry in each."
        )
    if not len(values):
        raise ValueError(
            "read_ratings: there are no ratings; expected at least one. Check that the file is "
            "whole and the filter before it leaves something."
        )
    values = _check_finite(values, "value", name_place)
    if scale is not None:
        if np.shape(scale) != (2,) or not scale[0] <= scale[1]:
            raise ValueError(
                f"read_ratings: scale={scale}; expected the lowest and the highest rating. Write "
                "scale=(1, 5)."
            )
        outside = (values < scale[0]) | (values > scale[1])
        if outside.any():
            at = int(np.argmax(outside))
            raise ValueError(
                f"read_ratings: {name_place(at)} has the value {values[at]:g}; expected "
                f"{scale[0]:g} to {scale[1]:g}. Correct it, or leave out scale=."
            )
    user_codes, user_labels, item_codes, item_labels = (
        each
        for column, known, name in ((users, user_ids, "user"), (items, item_ids, "item"))
        for each in place_labels(
            column if isinstance(column, Labels) else number_labels(column),
            known,
            name,
            name_place,
        )
    )
    when = None if times is None else _check_finite(np.asarray(times), "time", name_place)
    order = _sort(user_codes, _sort(item_codes, np.arange(len(values))))
    user, item = user_codes[order], item_codes[order]
    repeated = np.flatnonzero((user[1:] == user[:-1]) & (item[1:] == item[:-1]))
    if len(repeated) and not keep_last:
        at, again = sorted(order[repeated[0] : repeated[0] + 2].tolist())
        raise ValueError(
            f"read_ratings: {name_place(again)} rates item {item_labels[item_codes[at]]!s} by "
            f"user {user_labels[user_codes[at]]!s} again, after {name_place(at)}; expected one "
            f"rating for each pair; {len(repeated):,} are repeated. Pass keep_last=True for the "
            "later ones, or --keep-last on the command line."
        )
    if len(repeated):
        if when is not None:
            order = _sort(user_codes, _sort(item_codes, np.argsort(when, kind="stable")))
        # The order is stable: the last of equal pairs is the latest of the input, or in time.
        order, user, item = (np.delete(column, repeated) for column in (order, user, item))
    return Ratings(
        user,
        item,
        _shorten(values[order]),
        user_labels,
        item_labels,
        None if when is None else when[order],
    )


def _shorten(values: np.ndarray) -> np.ndarray:
    """Single precision where it tells ratings apart, which it does not far from zero."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    spread = float(np.std(values)) or float(np.abs(values).max())
    return single if np.abs(single - values).max() <= _ROUNDING * spread else values


def _check_finite(values: np.ndarray, name: str, name_place: Callable[[int], str]) -> np.ndarray:
    if values.dtype.kind not in "biuf":
        raise ValueError(
            f"read_ratings: the {name}s are of type {values.dtype}; expected numbers. Convert "
            f"them, for instance with np.asarray({name}s, dtype=float)."
        )
    finite = np.isfinite(values)
    if not finite.all():
        at = int(np.argmin(finite))
        raise ValueError(
            f"read_ratings: {name_place(at)} has the {name} {values[at]}; expected a finite "
            "number. Drop it: a missing rating is one that is not in the table."
        )
    return values.astype(np.float64, copy=False)


def _sort(codes: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Positions in the order of codes; those of equal codes stay as they are in ``order``.

    By counting, sixteen bits at a time: several times faster than comparing.
    """
    for shift in range(0, max(1, int(codes.max()).bit_length()), 16):
        part = (codes[order] >> shift).astype(np.uint16)
        order = order[np.argsort(part, kind="stable")]
    return order
