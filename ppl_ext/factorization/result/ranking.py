"""What to recommend: the ways to weigh an expected rating against what is not known of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.posterior import Labels, Posterior
from ppl_ext.factorization.result.prediction import measure_ratings

__all__ = [
    "AbstractPolicy",
    "ExpectedRating",
    "Ranking",
    "Thompson",
    "UpperConfidence",
    "combine",
    "rank_items",
]

# Users scored at once: a matrix of so many rows and all items.
_BATCH = 256


@dataclass(frozen=True, eq=False)
class Ranking:
    """The best items of each user, best first.

    Args:
        users: ``[user]``, labels.
        items: ``[user, place]``, labels.
        scores: ``[user, place]``; minus infinity where a user has rated all other items.

    Example:
        >>> Ranking(np.array(["ann"]), np.array([[7, 9]]), np.array([[4.5, 4.0]])).items[0, 0]
        np.int64(7)
    """

    users: np.ndarray
    items: np.ndarray
    scores: np.ndarray


class AbstractPolicy(ABC):
    """A way to score all items for some users.

    Example:
        >>> issubclass(Thompson, AbstractPolicy)
        True
    """

    @abstractmethod
    def score(self, posterior: Posterior, rows: np.ndarray) -> np.ndarray:
        """Score every item.

        Args:
            posterior: The posterior.
            rows: ``[user]``, rows of the users.

        Returns:
            ``[user, item]``; more is better.
        """


@dataclass(frozen=True)
class ExpectedRating(AbstractPolicy):
    """Items of the highest expected rating.

    Not where the answers teach the next fit: what is unknown stays unknown.

    Example:
        >>> ExpectedRating()
        ExpectedRating()
    """

    def score(self, posterior: Posterior, rows: np.ndarray) -> np.ndarray:
        """The expected ratings."""
        return combine(posterior, posterior.users.means(rows), posterior.items.means())


@dataclass(frozen=True)
class UpperConfidence(AbstractPolicy):
    """Items whose expected rating may be high: the mean plus some standard deviations of it.

    Not where all items are known about equally well: the ranking is that of `ExpectedRating`.

    Args:
        width: Number of standard deviations.

    Raises:
        ValueError: The width is not finite.

    Example:
        >>> UpperConfidence(width=2.0).width
        2.0
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.width):
            raise ValueError(f"{self}: the width must be finite. Write UpperConfidence(1.0).")

    def score(self, posterior: Posterior, rows: np.ndarray) -> np.ndarray:
        """The upper ends."""
        items = np.tile(np.arange(len(posterior.items)), len(rows))
        mean, variance = measure_ratings(posterior, np.repeat(rows, len(posterior.items)), items)
        return np.asarray((mean + self.width * np.sqrt(variance)).reshape(len(rows), -1))


@dataclass(frozen=True)
class Thompson(AbstractPolicy):
    """Items that are best under one draw from the posterior: uncertain ones get their turn.

    Each user sees a draw of their own; the draw of the items is shared by all users of a call.

    Not for a list that is to stay the same: `ExpectedRating` draws nothing.

    Args:
        seed: Seed of the draw; another one for every round.

    Raises:
        ValueError: The seed is negative.

    Example:
        >>> Thompson(seed=3).seed
        3

    References:
        Chapelle, Li (2011), An empirical evaluation of Thompson sampling, NeurIPS.
    """

    seed: int

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"{self}: the seed must not be negative. Write Thompson(seed=0).")

    def score(self, posterior: Posterior, rows: np.ndarray) -> np.ndarray:
        """The ratings expected under the draw."""
        items = posterior.items.draw(np.random.default_rng([self.seed, 0]))
        # A user's draw does not depend on who else is asked about.
        users = np.concatenate(
            [
                posterior.users.draw(np.random.default_rng([self.seed, 1, row]), np.array([row]))
                for row in rows
            ]
        )
        return combine(posterior, users, items)


def combine(posterior: Posterior, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Ratings of latent vectors, ``[user, dim]`` and ``[item, dim]``, without noise."""
    k = posterior.num_factors
    scores = posterior.center + users[:, :k] @ items[:, :k].T
    if posterior.biases:
        scores += users[:, k:] + items[:, k]
    return np.asarray(scores)


def rank_items(
    posterior: Posterior, users: Labels, n: int, policy: Any, exclude: Ratings | None
) -> Ranking:
    """The n best items of each user.

    Args:
        posterior: The posterior.
        users: ``[user]``, labels of the users.
        n: Number of items.
        policy: What is best.
        exclude: Ratings whose items are not recommended to those who gave them.

    Returns:
        The ranking.

    Raises:
        KeyError: A label is unknown.
        ValueError: There are fewer items than ``n``.
        TypeError: The policy is no object that scores.
    """
    count = len(posterior.items)
    if not isinstance(n, int | np.integer) or not 1 <= n <= count:
        raise ValueError(
            f"Factors.top_n: n={n} of {count:,} items; expected 1 to as many as there are. Write "
            f"top_n(users, {min(10, count)})."
        )
    if not isinstance(policy, AbstractPolicy):
        raise TypeError(
            f"Factors.top_n: policy={policy!r}; expected an object such as ExpectedRating() "
            "or Thompson(0). Leave it out, or write top_n(users, policy=Thompson(0))."
        )
    rows = np.atleast_1d(posterior.find_users(users))
    seen_users, seen_items = np.empty(0, np.intp), np.empty(0, np.intp)
    if exclude is not None:
        seen_users = posterior.find_users(exclude.user_ids[exclude.users])
        seen_items = posterior.find_items(exclude.item_ids[exclude.items])
    order = np.argsort(seen_users, kind="stable")
    seen_users, seen_items = seen_users[order], seen_items[order]
    best = np.empty((len(rows), n), dtype=np.intp)
    scores = np.empty((len(rows), n))
    for begin in range(0, len(rows), _BATCH):
        part = rows[begin : begin + _BATCH]
        batch = np.array(policy.score(posterior, part), dtype=np.float64)
        starts, ends = (np.searchsorted(seen_users, part, side) for side in ("left", "right"))
        for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
            batch[place, seen_items[start:end]] = -np.inf
        chosen = np.argpartition(-batch, n - 1, axis=1)[:, :n]
        values = np.take_along_axis(batch, chosen, axis=1)
        inner = np.argsort(-values, axis=1, kind="stable")
        best[begin : begin + _BATCH] = np.take_along_axis(chosen, inner, axis=1)
        scores[begin : begin + _BATCH] = np.take_along_axis(values, inner, axis=1)
    return Ranking(posterior.users.ids[rows], posterior.items.ids[best], scores)
