"""Ratings as three columns, checked once, with the labels of their users and items."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Ratings"]

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
            ("users", self.users, self.user_ids),
            ("items", self.items, self.item_ids),
        ):
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
