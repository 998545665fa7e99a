"""A fitted factorization: predictions, rankings, newcomers, and its way to files and ArviZ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.side_posterior import Side
from ppl_ext.factorization.model.side_rows import require_numba
from ppl_ext.factorization.result.prediction import Assessment, Prediction, assess_prediction
from ppl_ext.factorization.result.ranking import (
    AbstractPolicy,
    ExpectedRating,
    Ranking,
    rank_items,
)
from ppl_ext.fitting.loop import FitLog

if TYPE_CHECKING:
    import xarray

__all__ = ["Factors"]

Labels = Sequence[Any] | np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Factors:
    """The approximate posterior of users and items, made by ``MatrixFactorization.fit``.

    Users and items are named by the labels of the ratings. One without ratings has the prior as
    its posterior, and its predictions say so by their width.

    Args:
        users: The users.
        items: The items.
        biases: Whether the model has biases.
        diagonal: Whether covariances are diagonal.
        center: The constant of the model.
        noise_precision: Of a rating whose weights are one.
        sweeps: Number of sweeps made, those of earlier fits among them.
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

    users: Side
    items: Side
    biases: bool
    diagonal: bool
    center: float
    noise_precision: float
    sweeps: int
    elbo: np.ndarray
    log: FitLog

    def __repr__(self) -> str:
        return (
            f"Factors({self.num_factors} factors, {len(self.users):,} users, "
            f"{len(self.items):,} items, {self.sweeps} sweeps, ELBO {self.elbo[-1]:,.1f})"
        )

    @property
    def num_factors(self) -> int:
        """Length of the factors."""
        return self.users.dim - (1 if self.biases else 0)

    def find_users(self, labels: Labels) -> np.ndarray:
        """Rows of users.

        Args:
            labels: Their labels.

        Returns:
            Rows, of the shape of the labels.

        Raises:
            KeyError: A label is unknown.
        """
        return _find(self.users.ids, labels, "user")

    def find_items(self, labels: Labels) -> np.ndarray:
        """Rows of items.

        Args:
            labels: Their labels.

        Returns:
            Rows, of the shape of the labels.

        Raises:
            KeyError: A label is unknown.
        """
        return _find(self.items.ids, labels, "item")

    def measure(self, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of expected ratings, noise left out.

        Args:
            users: ``[pair]``, rows of users.
            items: ``[pair]``, rows of items.

        Returns:
            Means and variances, ``[pair]``.
        """
        require_numba("Factors.predict")
        from ppl_ext.factorization.result.prediction_kernel import measure_pairs

        mean, variance = np.empty(len(users)), np.empty(len(users))
        measure_pairs(
            users, items, self.users.table, self.users.summary, self.items.table,
            self.items.summary, self.biases, mean, variance,
        )  # fmt: skip
        return mean + self.center, variance

    def predict(
        self,
        users: Labels,
        items: Labels,
        *,
        user_features: Any = None,
        item_features: Any = None,
    ) -> Prediction:
        """Predict what users would rate items at.

        Memory is that of the pairs alone. Not clipped to the scale of the ratings.

        Args:
            users: Labels, broadcast against the items.
            items: Labels.
            user_features: Features of users who are not known yet, as in the fit: a pandas frame
                whose index holds the labels, or a tuple of labels and a matrix. Of known users
                they are not looked at.
            item_features: The same of items.

        Returns:
            Means and standard deviations, of the broadcast shape; one pair is ``[1]``.

        Raises:
            KeyError: A label is unknown.
            ValueError: The features are not those of the fit, or the labels do not broadcast.
        """
        for features, by_user in ((user_features, True), (item_features, False)):
            if features is not None:
                from ppl_ext.factorization.result.folding_in import fold_in_unknown

                grown = fold_in_unknown(self, features, by_user)
                others = {"item_features": item_features} if by_user else {}
                return grown.predict(users, items, **others)
        rows, columns = (
            np.atleast_1d(self.find_users(users)), np.atleast_1d(self.find_items(items))
        )  # fmt: skip
        try:
            rows, columns = np.broadcast_arrays(rows, columns)
        except ValueError as error:
            raise ValueError(
                f"Factors.predict: users have the shape {rows.shape} and items {columns.shape}; "
                "expected shapes that broadcast. For pairs give as many of each, for a table "
                "predict(users[:, None], items)."
            ) from error
        return self._predict_rows(rows, columns)

    def assess(self, ratings: Ratings) -> Assessment:
        """Compare the predictions with ratings that were set aside.

        Args:
            ratings: The ratings; their users and items have to be known here.

        Returns:
            Errors, likelihood and coverage.

        Raises:
            KeyError: A label is unknown.
            ValueError: There are no ratings.
        """
        users = self.find_users(ratings.user_ids[ratings.users])
        items = self.find_items(ratings.item_ids[ratings.items])
        return assess_prediction(self._predict_rows(users, items), ratings.values)

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
        if not isinstance(n, int | np.integer) or not 1 <= n <= len(self.items):
            raise ValueError(
                f"Factors.top_n: n={n} of {len(self.items):,} items; expected 1 to as many as "
                f"there are. Write top_n(users, {min(10, len(self.items))})."
            )
        if policy is not None and not isinstance(policy, AbstractPolicy):
            raise TypeError(
                f"Factors.top_n: policy={policy!r}; expected an object such as ExpectedRating() "
                "or Thompson(0). Leave it out, or write top_n(users, policy=Thompson(0))."
            )
        rows = np.atleast_1d(self.find_users(users))
        return rank_items(self, rows, n, policy or ExpectedRating(), exclude)

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
        from ppl_ext.factorization.result.folding_in import fold_in

        return fold_in(self, ratings, features, by_user=True)

    def fold_in_items(self, ratings: Ratings | None = None, *, features: Any = None) -> Factors:
        """Add new items by their ratings, their features, or both; all else as it is.

        Args:
            ratings: Ratings of new items, by users known here.
            features: Features of the new items, where the fit had some; see `predict`.

        Returns:
            Factors with these items after the others.

        Raises:
            ValueError: An item is known already, or the features are not those of the fit.
            KeyError: A user is unknown.
        """
        from ppl_ext.factorization.result.folding_in import fold_in

        return fold_in(self, ratings, features, by_user=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a file that `ppl_ext.factorization.load_factors` reads.

        Args:
            path: Where to; customarily ``*.safetensors``. Written whole or not at all.
        """
        from ppl_ext.factorization.result.saving import save_factors

        save_factors(self, path)

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

        Raises:
            ValueError: There are to be no draws.
        """
        if num_draws < 1:
            raise ValueError(
                f"Factors.to_datatree: num_draws={num_draws}; expected at least 1. Write "
                "to_datatree(100)."
            )
        from ppl_ext.factorization.result.draws_tree import arrange_draws

        rng = np.random.default_rng(seed)
        draws: dict[str, np.ndarray] = {}
        coefficients: dict[str, np.ndarray] = {}
        for name, side in (("user", self.users), ("item", self.items)):
            draws[name] = np.stack([side.draw(rng) for _ in range(num_draws)])
            if side.regression is not None:
                coefficients[name] = np.stack(
                    [side.regression.draw(rng, side.prior) for _ in range(num_draws)]
                )
        return arrange_draws(self, draws, coefficients)

    def _predict_rows(self, users: np.ndarray, items: np.ndarray) -> Prediction:
        mean, variance = self.measure(users.ravel(), items.ravel())
        weights = self.users.weights[users.ravel()] * self.items.weights[items.ravel()]
        noise = 1 / (self.noise_precision * weights)
        return Prediction(
            mean.reshape(users.shape),
            np.sqrt(variance).reshape(users.shape),
            np.sqrt(variance + noise).reshape(users.shape),
        )


def _find(ids: np.ndarray, labels: Labels, name: str) -> np.ndarray:
    wanted = np.asarray(labels)
    if wanted.dtype.kind in "OT":  # text as pandas keeps it
        wanted = np.asarray(wanted.tolist())
    order = np.argsort(ids, kind="stable")
    numbers = "biuf"
    if not len(ids) or (wanted.dtype.kind in numbers) != (ids.dtype.kind in numbers):
        known = np.zeros(wanted.shape, dtype=bool)
        rows = np.zeros(wanted.shape, dtype=np.intp)
    else:
        rows = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
        known = ids[rows] == wanted
    if not np.all(known):
        first = np.atleast_1d(wanted)[~np.atleast_1d(known)].tolist()[0]
        such = (
            f"one of {len(ids):,} such as {ids[0].item()!r}" if len(ids) else "none: none is kept"
        )
        raise KeyError(
            f"Factors: {name} {first!r} is unknown; expected {such}. Add it by its ratings: "
            f"factors.fold_in_{name}s(ratings); one without any has to be there before the fit: "
            f"read_ratings(source, {name}_ids=...)."
        )
    return np.asarray(rows)
