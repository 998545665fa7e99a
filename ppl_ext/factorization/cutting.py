"""Ratings in memory as the blocks of a stream."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from ppl_ext.factorization.ratings import Ratings

__all__ = ["cut_blocks"]


def cut_blocks(ratings: Ratings, size: int) -> list[Ratings]:
    """Cut ratings into blocks of whole users.

    Not for files, which `RatingStream` reads block by block.

    Args:
        ratings: The ratings.
        size: Ratings of a block, about.

    Returns:
        The blocks, each with its own users and all items.

    Raises:
        ValueError: The size is not positive.

    Example:
        >>> from ppl_ext.factorization import simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> blocks = cut_blocks(ratings, 20)
        >>> sum(len(block) for block in blocks) == len(ratings)
        True
        >>> sum(block.num_users for block in blocks)
        30
    """
    if not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(
            f"cut_blocks: size={size}; expected an integer of at least 1. Write "
            "cut_blocks(ratings, 10**6)."
        )
    ends = np.cumsum(np.bincount(ratings.users, minlength=ratings.num_users))
    # Users go to the block that their last rating falls into.
    block_of = np.maximum(ends - 1, 0) // size
    cuts = [0, *(np.flatnonzero(np.diff(block_of)) + 1).tolist(), ratings.num_users]
    blocks = []
    for first, last in pairwise(cuts):
        own = slice(ends[first - 1] if first else 0, ends[last - 1])
        blocks.append(
            replace(
                ratings,
                users=ratings.users[own] - np.int32(first),
                items=ratings.items[own],
                values=ratings.values[own],
                user_ids=ratings.user_ids[first:last],
                times=None if ratings.times is None else ratings.times[own],
            )
        )
    return blocks
