"""A fitted factorization: predictions, rankings, newcomers, and its way to files and ArviZ."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.posterior import Labels, Posterior
from ppl_ext.factorization.model.side_posterior import Side
from ppl_ext.factorization.result.assessment import Assessment, assess_prediction
from ppl_ext.factorization.result.draws_tree import draw_posterior
from ppl_ext.factorization.result.folding_in import fold_in
from ppl_ext.factorization.result.prediction import Prediction, predict_labels
from ppl_ext.factorization.result.ranking import (
    AbstractPolicy,
    ExpectedRating,
    Ranking,
    rank_items,
)
from ppl_ext.factorization.result.saving import save_posterior
from ppl_ext.factorization.result.showing import describe_factors, render_factors
from ppl_ext.fitting.fit_log import FitLog

if TYPE_CHECKING:
    import xarray

__all__ = ["Factors", "open_factors"]


@dataclass(frozen=True, eq=False, repr=False)
class Factors:
    """The approximate posterior of users and items, made by ``MatrixFactorization.fit``.

    Users and items are named by the labels of the ratings. One without ratings has the prior as
    its posterior, and its predictions say so by their width.

    Args:
        posterior: Users, items and noise; all of it can be read here as well.
        elbo: ``[sweep]``, in nats, less the penalties of learned priors and noise.
        log: How the fit went and why it ended.

    Example:
        >>> from ppl_ext.factorization import MatrixFactorization, read_ratings
        >>> ratings = read_ratings((["ann", "ann", "bob"], ["x", "y", "x"], [5.0, 1.0, 4.0]))
        >>> factors = MatrixFactorization(2).fit(ratings, progress_bar=False)
        >>> prediction = factors.predict("bob", ["x", "y"])
        >>> bool(prediction.mean[0] > prediction.mean[1])
        True
        >>> factors.top_n("bob", 1, exclude=ratings).items.tolist()
        [['y']]
    """

    posterior: Posterior
    elbo: np.ndarray
    log: FitLog

    def __repr__(self) -> str:
        return describe_factors(self)

    def _repr_html_(self) -> str:
        return render_factors(self)

    @property
    def users(self) -> Side:
        """The users."""
        return self.posterior.users

    @property
    def items(self) -> Side:
        """The items."""
        return self.posterior.items

    @property
    def center(self) -> float:
        """The constant of the model."""
        return self.posterior.center

    @property
    def noise_precision(self) -> float:
        """Of a rating whose weights are one."""
        return self.posterior.noise_precision

    @property
    def sweeps(self) -> int:
        """Number of sweeps made, those of earlier fits among them."""
        return self.posterior.sweeps

    @property
    def num_factors(self) -> int:
        """Length of the factors."""
        return self.posterior.num_factors

    def find_users(self, labels: Labels) -> np.ndarray:
        """Rows of users, of the shape of their labels; KeyError where one is unknown."""
        return self.posterior.find_users(labels)

    def find_items(self, labels: Labels) -> np.ndarray:
        """Rows of items, of the shape of their labels; KeyError where one is unknown."""
        return self.posterior.find_items(labels)

    def predict(
        self,
        users: Labels,
        items: Labels,
        *,
        user_features: Any = None,
        item_features: Any = None,
        unknown: str = "prior",
    ) -> Prediction:
        """Predict what users would rate items at.

        Memory is that of the pairs alone. Not clipped to the scale of the ratings. Of users and
        items who are unknown the prior is asked, which says so by its width.

        Args:
            users: Labels, broadcast against the items.
            items: Labels.
            user_features: Features of users who are not known yet, as in the fit: a pandas frame
                whose index holds the labels, or a tuple of labels and a matrix.
            item_features: The same of items.
            unknown: "prior", or "raise" to refuse a label that is unknown.

        Returns:
            Means and standard deviations, of the broadcast shape, and which pairs are known.

        Raises:
            KeyError: A label is unknown and is to be refused, or of another kind than all others.
            ValueError: The features are not those of the fit, or the labels do not broadcast.
        """
        features = {"user_features": user_features, "item_features": item_features}
        return predict_labels(self.posterior, users, items, unknown=unknown, **features)

    def assess(
        self,
        ratings: Ratings,
        *,
        user_features: Any = None,
        item_features: Any = None,
        unknown: str = "prior",
    ) -> Assessment:
        """Compare the predictions with ratings that were set aside.

        Args:
            ratings: The ratings; those by users and of items unknown here are judged apart.
            user_features: As in `predict`.
            item_features: As in `predict`.
            unknown: As in `predict`.

        Returns:
            Errors, likelihood and coverage; ValueError where there are no ratings.
        """
        features = {"user_features": user_features, "item_features": item_features}
        users, items = ratings.user_ids[ratings.users], ratings.item_ids[ratings.items]
        prediction = self.predict(users, items, unknown=unknown, **features)
        return replace(assess_prediction(prediction, ratings.values), num_factors=self.num_factors)

    def top_n(
        self,
        users: Labels,
        n: int = 10,
        *,
        policy: AbstractPolicy | None = None,
        exclude: Ratings | None = None,
    ) -> Ranking:
        """Rank the items for some users.

        Args:
            users: Labels of the users.
            n: Number of items for each.
            policy: What is best; `ExpectedRating` if None.
            exclude: Ratings whose items are not recommended to those who gave them.

        Returns:
            The items, best first.

        Raises:
            KeyError: A label is unknown.
            ValueError: There are fewer items than ``n``.
            TypeError: The policy is no object that scores.
        """
        return rank_items(self.posterior, users, n, policy or ExpectedRating(), exclude)

    def fold_in_users(self, ratings: Ratings | None = None, *, features: Any = None) -> Factors:
        """Add new users by their ratings, their features, or both; all else as it is.

        Not for many: refit with ``fit(ratings, start=factors)``, from which items learn as well.

        Args:
            ratings: Ratings by new users, of items known here.
            features: Features of the new users, where the fit had some; see `predict`.

        Returns:
            Factors with these users after the others.

        Raises:
            ValueError: A user is known already, or the features are not those of the fit.
            KeyError: An item is unknown.
        """
        return replace(self, posterior=fold_in(self.posterior, ratings, features, by_user=True))

    def fold_in_items(self, ratings: Ratings | None = None, *, features: Any = None) -> Factors:
        """Add new items, as `fold_in_users` adds users.

        Args:
            ratings: Ratings of new items, by users known here.
            features: Features of the new items, where the fit had some.

        Returns:
            Factors with these items after the others.
        """
        return replace(self, posterior=fold_in(self.posterior, ratings, features, by_user=False))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a file that `ppl_ext.factorization.load_factors` reads.

        Args:
            path: Where to; customarily ``*.safetensors``. Written whole or not at all.
        """
        save_posterior(path, self.posterior, self.elbo, self.log)

    def to_datatree(self, num_draws: int = 100, seed: int = 0) -> xarray.DataTree:
        """Draw from the posterior and arrange the draws as an ArviZ tree.

        Not for large tables: every draw holds all factors.

        Args:
            num_draws: Number of draws.
            seed: Seed of the draws.

        Returns:
            A tree with ``user_factors``, ``item_factors`` and, where the model has them,
            ``user_bias`` and ``item_bias``; users and items are labelled. With features also
            ``user_coefficients`` and ``user_bias_coefficients``, in units of the latent vectors
            for each standard deviation of a feature, and the same of items.
        """
        return draw_posterior(self.posterior, float(self.elbo[-1]), num_draws, seed)


def open_factors(called: str, factors: Any) -> Posterior:
    """The posterior of factors, or a refusal of what is none."""
    if not isinstance(factors, Factors):
        raise TypeError(
            f"{called}: got a {type(factors).__name__}; expected factors. Write {called}("
            "MatrixFactorization(16).fit(ratings))."
        )
    return factors.posterior
