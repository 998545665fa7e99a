"""The ratings of each row of a side."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings

__all__ = ["Adjacency"]

# Ratings whose levels are looked for at once, and levels that a byte tells apart.
_PIECE, _LEVELS = 2**16, 256


def _nothing() -> np.ndarray:
    return np.empty(0)


@dataclass(frozen=True, eq=False)
class Adjacency:
    """The ratings of each row of one side.

    Args:
        indptr: ``[row + 1]``, where the ratings of each row start; int64.
        columns: ``[rating]``, rows of the other side; uint16 where that is enough, or int32.
        values: ``[rating]``, or positions in ``levels``.
        levels: The ratings that there are, if these are few; float64.
    """

    indptr: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    levels: np.ndarray = field(default_factory=_nothing)

    @classmethod
    def by_user(cls, ratings: Ratings) -> Adjacency:
        """Ratings by user: the order they are in, nothing is copied."""
        return cls(_find_starts(ratings.users, ratings.num_users), ratings.items, ratings.values)

    @classmethod
    def by_item(cls, ratings: Ratings) -> Adjacency:
        """Ratings by item: a second copy of them, which few users and few levels make smaller."""
        # Compiled by numba, which need not be there for anything else.
        from ppl_ext.factorization.solver.reordering import order_by_item

        indptr = _find_starts(ratings.items, ratings.num_items)
        few = ratings.num_users <= np.iinfo(np.uint16).max + 1
        columns = np.empty(len(ratings), np.uint16 if few else np.int32)
        levels = _find_levels(ratings.values)
        values = np.empty(len(ratings), np.uint8 if len(levels) else ratings.values.dtype)
        order_by_item(
            ratings.users,
            ratings.items,
            ratings.values,
            levels,
            indptr[:-1].copy(),
            columns,
            values,
        )
        return cls(indptr, columns, values, levels)

    @property
    def counts(self) -> np.ndarray:
        """``[row]``, number of ratings."""
        return np.diff(self.indptr)

    def read(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The ratings of one row.

        Args:
            row: The row.

        Returns:
            Rows of the other side, and the ratings in double precision.
        """
        own = slice(*self.indptr[row : row + 2])
        values = self.levels[self.values[own]] if len(self.levels) else self.values[own]
        return self.columns[own].astype(np.intp), values.astype(np.float64)


def _find_starts(codes: np.ndarray, count: int) -> np.ndarray:
    counts = np.zeros(count, dtype=np.int64)
    # In pieces, of which NumPy makes copies of eight bytes a rating.
    for begin in range(0, len(codes), 4 * _PIECE):
        counts += np.bincount(codes[begin : begin + 4 * _PIECE], minlength=count)
    return np.concatenate([[0], np.cumsum(counts)])


def _find_levels(values: np.ndarray) -> np.ndarray:
    """All values in order, or none where these are many."""
    levels = _nothing()
    for begin in range(0, len(values), _PIECE):
        levels = np.union1d(levels, values[begin : begin + _PIECE].astype(np.float64))
        if len(levels) > _LEVELS:
            return _nothing()
    return levels
