"""Predicted ratings with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ppl_ext.factorization.model.posterior import Labels, Posterior
from ppl_ext.factorization.model.side_rows import require_numba

__all__ = ["Prediction", "measure_ratings", "predict_labels", "predict_rows"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What pairs of a user and an item are expected to be rated at.

    Args:
        mean: ``[pair]``, expected ratings.
        mean_sd: ``[pair]``, how uncertain these are: small where much is known.
        sd: ``[pair]``, standard deviation of the rating itself, noise included.

    Example:
        >>> prediction = Prediction(np.array([3.5]), np.array([0.3]), np.array([1.0]))
        >>> low, high = prediction.interval(0.9)
        >>> round(float(low[0]), 2), round(float(high[0]), 2)
        (1.86, 5.14)
    """

    mean: np.ndarray
    mean_sd: np.ndarray
    sd: np.ndarray

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
        users: Rows of users, of any shape.
        items: Rows of items, of the same.

    Returns:
        Means and standard deviations, of this shape.
    """
    mean, variance = measure_ratings(posterior, users.ravel(), items.ravel())
    weights = posterior.users.weights[users.ravel()] * posterior.items.weights[items.ravel()]
    noise = 1 / (posterior.noise_precision * weights)
    return Prediction(
        mean.reshape(users.shape),
        np.sqrt(variance).reshape(users.shape),
        np.sqrt(variance + noise).reshape(users.shape),
    )


def predict_labels(posterior: Posterior, users: Labels, items: Labels) -> Prediction:
    """Predict ratings by users and of items who are named.

    Args:
        posterior: The posterior.
        users: Labels, broadcast against the items.
        items: Labels.

    Returns:
        Means and standard deviations, of the broadcast shape; one pair is ``[1]``.

    Raises:
        KeyError: A label is unknown.
        ValueError: The labels do not broadcast.
    """
    rows = np.atleast_1d(posterior.find_users(users))
    columns = np.atleast_1d(posterior.find_items(items))
    try:
        rows, columns = np.broadcast_arrays(rows, columns)
    except ValueError as error:
        raise ValueError(
            f"Factors.predict: users have the shape {rows.shape} and items {columns.shape}; "
            "expected shapes that broadcast. For pairs give as many of each, for a table "
            "predict(users[:, None], items)."
        ) from error
    return predict_rows(posterior, rows, columns)
