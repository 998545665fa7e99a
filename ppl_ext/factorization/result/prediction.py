"""Predicted ratings with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtri

from ppl_ext.factorization.model.posterior import Labels, Posterior
from ppl_ext.factorization.model.side_posterior import Side
from ppl_ext.factorization.model.side_rows import (
    append_rows,
    make_stranger,
    require_numba,
    take_rows,
)
from ppl_ext.factorization.result.folding_in import fold_in_unknown

__all__ = ["Prediction", "measure_ratings", "predict_labels", "predict_rows"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What pairs of a user and an item are expected to be rated at.

    Args:
        mean: ``[pair]``, expected ratings.
        mean_sd: ``[pair]``, how uncertain these are: small where much is known.
        sd: ``[pair]``, standard deviation of the rating itself, noise included.
        known: ``[pair]``, False where the fit knows no such user or no such item, so that the
            prior answers; None where nobody was looked for.

    Example:
        >>> prediction = Prediction(np.array([3.5]), np.array([0.3]), np.array([1.0]))
        >>> low, high = prediction.interval(0.9)
        >>> round(float(low[0]), 2), round(float(high[0]), 2)
        (1.86, 5.14)
    """

    mean: np.ndarray
    mean_sd: np.ndarray
    sd: np.ndarray
    known: np.ndarray | None = None

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """The central interval that a rating falls into with this probability.

        Args:
            level: The probability, between 0 and 1.

        Returns:
            Lower and upper ends, ``[pair]`` each.

        Raises:
            ValueError: The level is not a probability.
        """
        if not 0 < level < 1:
            raise ValueError(
                f"Prediction.interval: level={level}; expected a probability between 0 and 1. "
                "Write interval(0.9)."
            )
        half = ndtri(0.5 + level / 2) * self.sd
        return self.mean - half, self.mean + half

    def log_density(self, ratings: np.ndarray) -> np.ndarray:
        """Log density of ratings that were given after all.

        Args:
            ratings: ``[pair]``.

        Returns:
            ``[pair]``, in nats.
        """
        off = (np.asarray(ratings, dtype=np.float64) - self.mean) / self.sd
        return np.asarray(-0.5 * off**2 - np.log(self.sd) - 0.5 * math.log(2 * math.pi))


def measure_ratings(
    posterior: Posterior, users: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of expected ratings, noise left out.

    Args:
        posterior: The posterior.
        users: ``[pair]``, rows of users.
        items: ``[pair]``, rows of items.

    Returns:
        Means and variances, ``[pair]``.
    """
    require_numba("Factors.predict")
    # Compiled by numba, which need not be there for anything else.
    from ppl_ext.factorization.result.prediction_kernel import measure_pairs

    mean, variance = np.empty(len(users)), np.empty(len(users))
    measure_pairs(
        users,
        items,
        posterior.users.table,
        posterior.users.summary,
        posterior.items.table,
        posterior.items.summary,
        posterior.biases,
        mean,
        variance,
    )
    return mean + posterior.center, variance


def predict_rows(posterior: Posterior, users: np.ndarray, items: np.ndarray) -> Prediction:
    """Predict ratings, noise included.

    Args:
        posterior: The posterior.
        users: Rows of users, of any shape; -1 for one who is unknown.
        items: Rows of items, of the same.

    Returns:
        Means and standard deviations, of this shape.
    """
    shape, users, items = users.shape, users.ravel(), items.ravel()
    found = np.empty((3, len(users)))
    known = (users >= 0) & (items >= 0)
    found[:, known] = _predict(posterior, users[known], items[known])
    if not known.all():
        # Their partners and one stranger on each side: the whole tables may be large.
        some, own = _gather(posterior.users, users[~known])
        others, theirs = _gather(posterior.items, items[~known])
        small = replace(posterior, users=some, items=others)
        found[:, ~known] = _predict(small, own, theirs)
    mean, mean_sd, sd = (each.reshape(shape) for each in found)
    return Prediction(mean, mean_sd, sd, known.reshape(shape))


def _predict(posterior: Posterior, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """``[3, pair]``: mean, its standard deviation, and that of the rating."""
    mean, variance = measure_ratings(posterior, users, items)
    weights = posterior.users.weights[users] * posterior.items.weights[items]
    noise = 1 / (posterior.noise_precision * weights)
    return np.stack([mean, np.sqrt(variance), np.sqrt(variance + noise)])


def _gather(side: Side, rows: np.ndarray) -> tuple[Side, np.ndarray]:
    """The rows that are asked for and a stranger, and where each is found there."""
    wanted, places = np.unique(rows[rows >= 0], return_inverse=True)
    found = np.full(len(rows), len(wanted))
    found[rows >= 0] = places
    return append_rows(take_rows(side, wanted), make_stranger(side)), found


def predict_labels(
    posterior: Posterior,
    users: Labels,
    items: Labels,
    *,
    user_features: Any = None,
    item_features: Any = None,
    unknown: str = "prior",
) -> Prediction:
    """Predict ratings by users and of items who are named; see `Factors.predict`."""
    grown = posterior
    for features, by_user in ((user_features, True), (item_features, False)):
        if features is not None:
            grown = fold_in_unknown(grown, features, by_user)
    rows, columns = grown.find_users(users, unknown), grown.find_items(items, unknown)
    try:
        rows, columns = np.broadcast_arrays(rows, columns)
    except ValueError as error:
        raise ValueError(
            f"Factors.predict: users have the shape {rows.shape} and items {columns.shape}; "
            "expected shapes that broadcast. For pairs give as many of each, for a table "
            "predict(users[:, None], items)."
        ) from error
    found = predict_rows(grown, rows, columns)
    # Those whom features alone describe are unknown to the fit.
    known = (rows >= 0) & (rows < len(posterior.users))
    known &= (columns >= 0) & (columns < len(posterior.items))
    return replace(found, known=known)
