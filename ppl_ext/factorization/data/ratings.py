"""Ratings as three columns, checked once, with the labels of their users and items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppl_ext.factorization.data.labels import Labels, number_labels, place_labels

__all__ = ["Ratings", "collect_ratings"]

# Ratings stay in double precision where single precision would be off by this, of their spread.
_ROUNDING = 1e-6
# Ratings whose order is checked at once.
_PIECE = 2**20


@dataclass(frozen=True, eq=False, repr=False)
class Ratings:
    """Who rated what, and how: ordered by user and then item, each pair once.

    Made by `ppl_ext.factorization.read_ratings`, which checks them; a user or an item may be
    without ratings (after a split, say).

    Args:
        users: ``[rating]``, position in ``user_ids``; int32.
        items: ``[rating]``, position in ``item_ids``; int32.
        values: ``[rating]``, the ratings; float32, or float64 where that would round away what
            differs between them (1,000,000.1 and 1,000,000.2).
        user_ids: ``[user]``, labels of the users.
        item_ids: ``[item]``, labels of the items.
        times: ``[rating]``, when they were given, if that is known.

    Raises:
        ValueError: Columns differ in length, ratings are out of order or there twice, or a
            position is that of no label.

    Example:
        >>> from ppl_ext.factorization import read_ratings
        >>> ratings = read_ratings((["ann", "bob", "ann"], [7, 7, 9], [4.0, 2.0, 5.0]))
        >>> ratings
        Ratings(3 ratings, 2 users, 2 items, values 2 to 5)
        >>> ratings.user_ids.tolist(), ratings.items.tolist()
        (['ann', 'bob'], [0, 1, 0])
    """

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    times: np.ndarray | None = field(default=None)

    def __post_init__(self) -> None:
        lengths = {len(self.users), len(self.items), len(self.values)}
        if len(lengths) > 1 or (self.times is not None and len(self.times) != len(self.values)):
            raise ValueError(
                "Ratings: users, items, values (and times) differ in length; expected an entry of "
                "each for every rating. Write read_ratings((users, items, ratings))."
            )
        for name, codes, ids in (
            ("users", self.users, self.user_ids), ("items", self.items, self.item_ids),
        ):  # fmt: skip
            if len(codes) and not 0 <= codes.min() <= codes.max() < len(ids):
                raise ValueError(
                    f"Ratings: {name} holds positions from {codes.min()} to {codes.max()}, and "
                    f"there are {len(ids):,} labels; expected 0 to {len(ids) - 1:,}. Give the "
                    "labels themselves: read_ratings((users, items, ratings))."
                )
        # Compiled updates find a user's ratings by where they stand.
        for begin in range(0, len(self.users) - 1, _PIECE):
            user, item = (each[begin : begin + _PIECE + 1] for each in (self.users, self.items))
            same = user[1:] == user[:-1]
            if np.any((user[1:] < user[:-1]) | (same & (item[1:] <= item[:-1]))):
                raise ValueError(
                    "Ratings: they are out of order, or a pair is there twice; expected them "
                    "ordered by user and then item. Let read_ratings((users, items, ratings)) "
                    "order them."
                )

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        spread = ""
        if len(self):
            spread = f", values {self.values.min():g} to {self.values.max():g}"
        return (
            f"Ratings({len(self):,} ratings, {self.num_users:,} users, "
            f"{self.num_items:,} items{spread})"
        )

    @property
    def num_users(self) -> int:
        """Number of users, those without ratings among them."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """Number of items, those without ratings among them."""
        return len(self.item_ids)

    def select(self, chosen: np.ndarray) -> Ratings:
        """Keep some of the ratings, and all users and items.

        Args:
            chosen: ``[rating]`` of booleans, or positions.

        Returns:
            The chosen ratings, in their order here.
        """
        if np.asarray(chosen).dtype != np.bool_:
            mask = np.zeros(len(self), dtype=bool)
            mask[chosen] = True
            chosen = mask
        times = None if self.times is None else self.times[chosen]
        return Ratings(
            self.users[chosen],
            self.items[chosen],
            self.values[chosen],
            self.user_ids,
            self.item_ids,
            times,
        )


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
        keep_last: Where a user rated an item more than once, keep the last instead of refusing.
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
    order = np.lexsort((item_codes, user_codes))
    pairs = user_codes[order].astype(np.int64) * len(item_labels) + item_codes[order]
    repeated = np.flatnonzero(pairs[1:] == pairs[:-1])
    if len(repeated) and not keep_last:
        at, again = int(order[repeated[0]]), int(order[repeated[0] + 1])
        raise ValueError(
            f"read_ratings: {name_place(again)} rates item {item_labels[item_codes[at]]!s} by "
            f"user {user_labels[user_codes[at]]!s} again, after {name_place(at)}; expected one "
            f"rating for each pair; {len(repeated):,} are repeated. Pass keep_last=True for the "
            "later ones, or --keep-last on the command line."
        )
    # The order is stable, so that the last of equal pairs is the latest of the input.
    keep = np.ones(len(order), dtype=bool)
    keep[repeated] = False
    order = order[keep]
    return Ratings(
        user_codes[order],
        item_codes[order],
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
    return values.astype(np.float64)
