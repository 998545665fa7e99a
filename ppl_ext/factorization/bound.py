"""The ELBO of factors, term by term, rating by rating: what a program of a host must reach too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.factorization.ratings import Ratings
from ppl_ext.factorization.side import Side

if TYPE_CHECKING:
    from ppl_ext.factorization.factors import Factors

__all__ = ["Bound", "measure_bound"]

# Matrices of so many rows are taken out of the table at once.
_PIECE = 4096


@dataclass(frozen=True)
class Bound:
    r"""The terms of an evidence lower bound, in nats.

    .. math:: E_q[\log p(r \mid w, a)] - KL(q(w) \| p(w)) - KL(q(a) \| p(a))

    Args:
        likelihood: Expected log density of the ratings.
        user_divergence: Sum over users of ``KL(q(w) || p(w))``, w their factors and biases.
        item_divergence: The same of the items.
        user_weight_divergence: Sum over users of ``KL(q(a) || p(a))``, a their noise weights.
        item_weight_divergence: The same of the items.

    Example:
        >>> Bound(-10.0, 1.0, 2.0, 0.0, 0.5).total
        -13.5
    """

    likelihood: float
    user_divergence: float
    item_divergence: float
    user_weight_divergence: float
    item_weight_divergence: float

    @property
    def total(self) -> float:
        """The evidence lower bound."""
        return self.likelihood - (
            self.user_divergence
            + self.item_divergence
            + self.user_weight_divergence
            + self.item_weight_divergence
        )


def measure_bound(factors: Factors, ratings: Ratings) -> Bound:
    """Measure the evidence lower bound of factors at the prior and the noise that they carry.

    It is ``factors.elbo[-1]`` and the penalties of learned priors and noise, which are no part of
    the model: what the ``Trace_ELBO`` of a host estimates for the same factors.

    Args:
        factors: The factors.
        ratings: The ratings they were fitted to, or others by the same users of the same items.

    Returns:
        The terms.

    Raises:
        KeyError: A user or an item is unknown.
        ValueError: The prior depends on features.

    Example:
        >>> from ppl_ext.factorization import Fixed, MatrixFactorization, Noise, simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> settings = MatrixFactorization(2, user_prior=Fixed(), item_prior=Fixed(),
        ...                                noise=Noise(0.5), dtype=np.float64)
        >>> factors = settings.fit(ratings, progress_bar=False)
        >>> bool(abs(measure_bound(factors, ratings).total - factors.elbo[-1]) < 1e-8)
        True
    """
    refuse_features(factors, "measure_bound")
    users = factors.find_users(ratings.user_ids)[ratings.users]
    items = factors.find_items(ratings.item_ids)[ratings.items]
    mean, variance = factors.measure(users, items)
    error = (ratings.values - mean) ** 2 + variance
    weight = factors.users.weights[users] * factors.items.weights[items]
    log_weight = (
        factors.users.expected_log_weights()[users] + factors.items.expected_log_weights()[items]
    )
    tau = factors.noise_precision
    each = np.log(tau / (2 * np.pi)) + log_weight - tau * weight * error
    return Bound(
        float(np.sum(each) / 2),
        _divergence(factors.users),
        _divergence(factors.items),
        factors.users.weight_divergence(),
        factors.items.weight_divergence(),
    )


def refuse_features(factors: Factors, called: str) -> None:
    """Refuse factors whose prior depends on features.

    Args:
        factors: The factors.
        called: What was called, for the message.

    Raises:
        ValueError: The prior of a side depends on features.
    """
    for name, side in (("user", factors.users), ("item", factors.items)):
        if side.regression is not None:
            raise ValueError(
                f"{called}: the prior of the {name}s depends on {len(side.regression.names)} "
                "features, whose coefficients have a posterior of their own; expected a prior "
                f"without features. Fit without {name}_features=."
            )


def _divergence(side: Side) -> float:
    total = 0.0
    for begin in range(0, len(side), _PIECE):
        rows = np.arange(begin, min(begin + _PIECE, len(side)))
        means, covariances = side.means(rows), side.covariances(rows)
        second = covariances.sum(axis=0) + means.T @ means
        log_det = -float(np.linalg.slogdet(covariances)[1].sum())
        total += side.prior.divergence(len(rows), means.sum(axis=0), second, log_det)
    return total
