"""What a stream of ratings is made of, counted before anything is learned from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings

__all__ = ["StreamCounts", "count_ratings"]


@dataclass(frozen=True, eq=False)
class StreamCounts:
    """Counts of a stream.

    Args:
        item_ids: Labels of all items, sorted.
        item_counts: ``[item]``, ratings of each.
        user_counts: ``[block]``, users in each block.
        count: Number of ratings.
        mean: Their mean.
        variance: Their variance.
    """

    item_ids: np.ndarray
    item_counts: np.ndarray
    user_counts: tuple[int, ...]
    count: int
    mean: float
    variance: float

    @property
    def spread(self) -> float:
        """The variance, or one where all ratings are equal."""
        return self.variance or 1.0


def count_ratings(blocks: Iterable[Ratings]) -> StreamCounts:
    """Go through a stream once and count.

    Args:
        blocks: Ratings of some users after ratings of others.

    Returns:
        The counts.

    Raises:
        ValueError: There are no ratings, or labels are integers in one block and text in another.
    """
    ids: np.ndarray | None = None
    counts = np.zeros(0, np.int64)
    users: list[int] = []
    total, first, off, squares = 0, 0.0, 0.0, 0.0
    for block in blocks:
        users.append(block.num_users)
        values = block.values.astype(np.float64)
        if not total and len(values):
            first = float(values.mean())
        total += len(values)
        # About the mean of the first block, so that nothing cancels.
        off += float(np.sum(values - first))
        squares += float(np.sum((values - first) ** 2))
        own = np.bincount(block.items, minlength=block.num_items)
        if ids is None:
            ids, counts = block.item_ids[:0], counts
        elif ids.dtype.kind != block.item_ids.dtype.kind:
            raise ValueError(
                "StreamedFactorization.fit: items are integers in one block and text in another, "
                f"{block.item_ids[0].item()!r} first; expected one of the two. Put a letter "
                "before each label."
            )
        merged, places = np.unique(np.concatenate([ids, block.item_ids]), return_inverse=True)
        summed = np.zeros(len(merged), np.int64)
        np.add.at(summed, places, np.concatenate([counts, own]))
        ids, counts = merged, summed
    if ids is None or not total:
        raise ValueError(
            "StreamedFactorization.fit: there are no ratings; expected at least one. Pass blocks "
            "that can be gone through again and again, such as RatingStream(path)."
        )
    mean_off = off / total
    variance = max(squares / total - mean_off**2, 0.0)
    return StreamCounts(ids, counts, tuple(users), total, first + mean_off, variance)
