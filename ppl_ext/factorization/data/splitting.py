"""Set ratings aside, to see how well a fit predicts them."""

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings

__all__ = ["split_by_row", "split_by_time", "split_by_user"]


def split_by_row(
    ratings: Ratings, fraction: float = 0.1, seed: int = 0
) -> tuple[Ratings, Ratings]:
    """Set a random fraction of the ratings aside.

    Not for the question how well later ratings are predicted: see `split_by_time`.

    Args:
        ratings: The ratings.
        fraction: Of the ratings, between 0 and 1.
        seed: Seed of the choice.

    Returns:
        The ratings to fit and those set aside; both know all users and items.

    Raises:
        ValueError: The fraction leaves one of them empty.

    Example:
        >>> ratings = Ratings(np.zeros(10, int), np.arange(10), np.ones(10), np.zeros(1, int),
        ...                   np.arange(10))
        >>> [len(part) for part in split_by_row(ratings, 0.2)]
        [8, 2]
    """
    count = _count(len(ratings), fraction, "split_by_row", "ratings")
    aside = np.zeros(len(ratings), dtype=bool)
    aside[np.random.default_rng(seed).permutation(len(ratings))[:count]] = True
    return ratings.select(~aside), ratings.select(aside)


def split_by_time(ratings: Ratings, fraction: float = 0.1) -> tuple[Ratings, Ratings]:
    """Set the latest ratings aside.

    Not for comparing with published figures, nearly all of which are for random splits.

    Args:
        ratings: The ratings, with times.
        fraction: Of the ratings, between 0 and 1.

    Returns:
        The ratings to fit and the later ones; both know all users and items.

    Raises:
        ValueError: The ratings have no times, or the fraction leaves one of them empty.

    Example:
        >>> ratings = Ratings(np.zeros(4, int), np.arange(4), np.ones(4), np.zeros(1, int),
        ...                   np.arange(4), times=np.array([40, 10, 30, 20]))
        >>> split_by_time(ratings, 0.25)[1].times.tolist()
        [40]
    """
    if ratings.times is None:
        raise ValueError(
            "split_by_time: these ratings have no times; expected one for each. Read them with "
            "read_ratings(source, time='timestamp'), or use split_by_row."
        )
    count = _count(len(ratings), fraction, "split_by_time", "ratings")
    aside = np.zeros(len(ratings), dtype=bool)
    aside[np.argsort(ratings.times, kind="stable")[len(ratings) - count :]] = True
    return ratings.select(~aside), ratings.select(aside)


def split_by_user(
    ratings: Ratings, fraction: float = 0.1, seed: int = 0
) -> tuple[Ratings, Ratings]:
    """Set all ratings of a random fraction of the users aside, as new users to fold in.

    Not for a test without folding in: of these users a fit knows nothing.

    Args:
        ratings: The ratings.
        fraction: Of the users that have ratings, between 0 and 1.
        seed: Seed of the choice.

    Returns:
        The ratings of the users to fit and those of the others; both know all users and items.

    Raises:
        ValueError: The fraction leaves one of them empty.

    Example:
        >>> ratings = Ratings(np.arange(4), np.zeros(4, int), np.ones(4), np.arange(4),
        ...                   np.zeros(1, int))
        >>> fitted, new = split_by_user(ratings, 0.5)
        >>> sorted({*fitted.users.tolist()} & {*new.users.tolist()})
        []
    """
    present = np.unique(ratings.users)
    count = _count(len(present), fraction, "split_by_user", "users")
    chosen = np.random.default_rng(seed).permutation(present)[:count]
    aside = np.isin(ratings.users, chosen)
    return ratings.select(~aside), ratings.select(aside)


def _count(total: int, fraction: float, called: str, what: str) -> int:
    count = round(total * fraction) if 0 < fraction < 1 else 0
    if not 0 < count < total:
        raise ValueError(
            f"{called}: fraction={fraction} of {total:,} {what} leaves one part empty; expected "
            f"some on both sides. Write {called}(ratings, fraction=0.1), or 0.5 of a few; where "
            "there is one, fit without a test, on the command line with --test-fraction 0."
        )
    return count
