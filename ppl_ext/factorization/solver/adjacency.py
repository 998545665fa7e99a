"""The ratings of each row of a side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ppl_ext.factorization.data.ratings import Ratings

__all__ = ["Adjacency"]


@dataclass(frozen=True, eq=False)
class Adjacency:
    """The ratings of each row of one side.

    Args:
        indptr: ``[row + 1]``, where the ratings of each row start; int64.
        columns: ``[rating]``, rows of the other side; int32.
        values: ``[rating]``.
    """

    indptr: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    @classmethod
    def by_user(cls, ratings: Ratings) -> Adjacency:
        """Ratings by user: the order they are in, nothing is copied."""
        indptr = np.zeros(ratings.num_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(ratings.users, minlength=ratings.num_users), out=indptr[1:])
        return cls(indptr, ratings.items, ratings.values)

    @classmethod
    def by_item(cls, ratings: Ratings) -> Adjacency:
        """Ratings by item."""
        indptr = cls.by_user(ratings).indptr
        # SciPy widens the columns to the type of the pointers.
        if len(ratings) < np.iinfo(np.int32).max:
            indptr = indptr.astype(np.int32)
        shape = (ratings.num_users, ratings.num_items)
        rows = sparse.csr_array((ratings.values, ratings.items, indptr), shape=shape)
        matrix = rows.tocsc()
        return cls(
            matrix.indptr.astype(np.int64),
            matrix.indices.astype(np.int32, copy=False),
            matrix.data,
        )

    @property
    def counts(self) -> np.ndarray:
        """``[row]``, number of ratings."""
        return np.diff(self.indptr)
