"""The ELBO of factors, term by term, rating by rating: what a program of a host must reach too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.model.regression import Design, Regression
from ppl_ext.factorization.model.side_features import read_designs
from ppl_ext.factorization.model.side_posterior import Side
from ppl_ext.factorization.result.factors import Factors, open_factors
from ppl_ext.factorization.result.prediction import measure_ratings

__all__ = ["Bound", "measure_bound", "sum_terms"]

# Matrices of so many rows are taken out of the table at once.
_PIECE = 4096


@dataclass(frozen=True)
class Bound:
    r"""The terms of an evidence lower bound, in nats.

    .. math:: E_q[\log p(r \mid w, a)] - E_q[KL(q(w) \| p(w \mid B))]
              - KL(q(a) \| p(a)) - KL(q(B) \| p(B))

    Args:
        likelihood: Expected log density of the ratings.
        user_divergence: Sum over users of ``KL(q(w) || p(w))``, w their factors and biases; with
            features its expectation over their coefficients.
        item_divergence: The same of the items.
        user_weight_divergence: Sum over users of ``KL(q(a) || p(a))``, a their noise weights.
        item_weight_divergence: The same of the items.
        user_coefficient_divergence: ``KL(q(B) || p(B))``, B the coefficients of the users'
            features; 0 without features.
        item_coefficient_divergence: The same of the items.

    Example:
        >>> Bound(-10.0, 1.0, 2.0, 0.0, 0.5).total
        -13.5
    """

    likelihood: float
    user_divergence: float
    item_divergence: float
    user_weight_divergence: float
    item_weight_divergence: float
    user_coefficient_divergence: float = 0.0
    item_coefficient_divergence: float = 0.0

    @property
    def total(self) -> float:
        """The evidence lower bound."""
        return self.likelihood - (
            self.user_divergence
            + self.item_divergence
            + self.user_weight_divergence
            + self.item_weight_divergence
            + self.user_coefficient_divergence
            + self.item_coefficient_divergence
        )


def measure_bound(
    factors: Factors, ratings: Ratings, *, user_features: Any = None, item_features: Any = None
) -> Bound:
    """Measure the evidence lower bound of factors at the prior and the noise that they carry.

    It is ``factors.elbo[-1]`` and the penalties of learned priors and noise, which are no part of
    the model: what the ``Trace_ELBO`` of a host estimates for the same factors.

    Args:
        factors: The factors.
        ratings: The ratings they were fitted to, or others by the same users of the same items.
        user_features: Features of all users of the factors, as in the fit; None where it had none.
        item_features: The same of items.

    Returns:
        The terms.

    Raises:
        KeyError: A user or an item is unknown.
        ValueError: The features are not those of the fit.

    Example:
        >>> from ppl_ext.factorization import Fixed, MatrixFactorization, Noise, simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> settings = MatrixFactorization(2, user_prior=Fixed(), item_prior=Fixed(),
        ...                                noise=Noise(0.5), dtype=np.float64)
        >>> factors = settings.fit(ratings, progress_bar=False)
        >>> bool(abs(measure_bound(factors, ratings).total - factors.elbo[-1]) < 1e-8)
        True
    """
    posterior = open_factors("measure_bound", factors)
    designs = read_designs("measure_bound", posterior, user_features, item_features)
    return sum_terms(posterior, ratings, designs)


def sum_terms(posterior: Posterior, ratings: Ratings, designs: Mapping[str, Design]) -> Bound:
    """The same of features that are standardised already, by side."""
    users = posterior.find_users(ratings.user_ids)[ratings.users]
    items = posterior.find_items(ratings.item_ids)[ratings.items]
    mean, variance = measure_ratings(posterior, users, items)
    error = (ratings.values - mean) ** 2 + variance
    weight = posterior.users.weights[users] * posterior.items.weights[items]
    log_weight = (
        posterior.users.expected_log_weights()[users]
        + posterior.items.expected_log_weights()[items]
    )
    tau = posterior.noise_precision
    each = np.log(tau / (2 * np.pi)) + log_weight - tau * weight * error
    sides = posterior.sides
    return Bound(
        float(np.sum(each) / 2),
        *(_divergence(side, designs.get(name)) for name, side in sides),
        *(side.weight_divergence() for _, side in sides),
        *(_coefficient_divergence(side) for _, side in sides),
    )


def _divergence(side: Side, design: Design | None) -> float:
    total, regression = 0.0, side.regression
    offsets = None
    if design is not None and regression is not None:
        offsets = regression.offsets(design)
        # What coefficients are uncertain by moves every row's prior about its mean.
        total += 0.5 * side.dim * float(np.sum(regression.covariance * design.gram))
    for begin in range(0, len(side), _PIECE):
        rows = np.arange(begin, min(begin + _PIECE, len(side)))
        left, covariances = side.means(rows), side.covariances(rows)
        if offsets is not None:
            left -= offsets[rows]
        second = covariances.sum(axis=0) + left.T @ left
        log_det = -float(np.linalg.slogdet(covariances)[1].sum())
        total += side.prior.divergence(len(rows), left.sum(axis=0), second, log_det)
    return total


def _coefficient_divergence(side: Side) -> float:
    if side.regression is None:
        return 0.0
    own: Regression = side.regression
    log_det = -float(np.linalg.slogdet(own.covariance)[1] + np.sum(np.log(own.relevance)))
    shared = float(own.relevance @ np.diag(own.covariance)) - len(own.relevance) + log_det
    size = own.relevance @ np.sum(own.coefficients @ side.prior.precision * own.coefficients, 1)
    return 0.5 * (side.dim * shared + float(size))
