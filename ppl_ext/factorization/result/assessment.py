"""How well predictions met ratings that the fit had not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.result.prediction import Prediction, predict_rows

__all__ = ["Assessment", "assess_prediction", "assess_ratings"]

_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_SHOWN = (0.5, 0.8, 0.9, 0.95)
# Coverage that far from its level is worth a word, beyond what chance explains.
_SLACK = 0.02
# Squared errors of so many predicted variances are worth a word: 1.0 to 1.07 on ratings of films.
_SURPRISE = 1.2
# Of fewer ratings, intervals that are wrong cannot be told from those that are right.
_FEWEST = 50


@dataclass(frozen=True, eq=False)
class Assessment:
    """How well predictions met ratings that the fit had not seen.

    Args:
        count: Number of ratings, those apart left out.
        rmse: Root mean squared error of the predicted means.
        mae: Mean absolute error of the predicted means.
        nll: Mean negative log density of the ratings, in nats; lower is better.
        coverage: ``{level: fraction}`` of the ratings in the intervals of each level.
        surprise: Mean of the squared errors, each over its predicted variance: 1 where the
            variances are right, far above it where a few ratings lie far out.
        newcomers: The same of ratings by users or of items that the fit does not know; None where
            there are none, or no others.
        num_factors: Number of factors of the model, where it is known.

    Ratings in whole stars are rounded, which no Gaussian is: were a rating the Gaussian that the
    model says, rounded, intervals of 50 % would cover 48.2 % on MovieLens-100K, where they cover
    48.8 %, and those from 80 % on half a point more than they promise. Wider ones would be wrong.

    Example:
        >>> prediction = Prediction(np.zeros(5000), np.zeros(5000), np.ones(5000))
        >>> print(assess_prediction(prediction, np.linspace(-1, 1, 5000)))
        5,000 ratings: RMSE 0.577, negative log-likelihood 1.086
        intervals of 50 %, 80 %, 90 %, 95 % cover 67.4 %, 100.0 %, 100.0 %, 100.0 %
        The intervals are too wide: the noise of these ratings is not that of the fitted ones ...
    """

    count: int
    rmse: float
    mae: float
    nll: float
    coverage: Mapping[float, float]
    surprise: float = 1.0
    newcomers: Assessment | None = None
    num_factors: int | None = None

    @property
    def excess(self) -> float:
        """Coverage less its level, where that is farthest off: at 50 %, 80 %, 90 % or 95 %."""
        return self._excess(self._worst)

    @property
    def ok(self) -> bool:
        """True where intervals cover what they should and no tail is missed, but for chance.

        False also where there are fewer than 50 ratings, which cannot tell.
        """
        right = abs(self.excess) <= self._allow(self._worst) and not self._has_tails
        return right and self.count >= _FEWEST

    @property
    def _has_tails(self) -> bool:
        return self.surprise > _SURPRISE + 3 * float(np.sqrt(2 / self.count))

    @property
    def _worst(self) -> float:
        shown = [level for level in _SHOWN if level in self.coverage] or list(self.coverage)
        return max(shown, key=lambda level: abs(self._excess(level)) / self._allow(level))

    def _excess(self, level: float) -> float:
        return self.coverage[level] - level

    def _allow(self, level: float) -> float:
        return _SLACK + 3 * float(np.sqrt(level * (1 - level) / self.count))

    @property
    def advice(self) -> str:
        """What to do about it, in a sentence."""
        if self.ok:
            return "The intervals can be trusted on ratings like these."
        if self.count < _FEWEST:
            return (
                f"{self.count} ratings are too few to tell whether the intervals are right: set "
                f"at least {_FEWEST} aside."
            )
        if self._has_tails:
            return (
                "Some ratings lie much farther out than the intervals say: squared errors are "
                f"{self.surprise:.3g} times the predicted variances. End the fit on ratings held "
                "out: fit(ratings, held_out=...), or --hold-out 0.1 on the command line. "
                "Of counts and amounts, fit the logarithm."
            )
        if self.excess > 0 and self._excess(0.95) < 0:
            return (
                "The inner intervals are too wide and those of 95 % too narrow: these ratings "
                "have a sharper peak and heavier tails than a Gaussian. Of counts and amounts, "
                "fit the logarithm; else trust the wide intervals least."
            )
        if self.excess > 0:
            return (
                "The intervals are too wide: the noise of these ratings is not that of the fitted "
                f"ones or no Gaussian's{self._blame_factors('.')}"
            )
        return (
            "The intervals are too narrow: these ratings differ from the fitted ones"
            f"{self._blame_factors(', or with learned priors and noise.')} "
            "Where ratings take two or three values, no Gaussian covers every level."
        )

    def _blame_factors(self, end: str) -> str:
        """Of one factor there are none fewer."""
        if self.num_factors == 1:
            return "; fit again" + (end.removeprefix(", or") if end != "." else " with others.")
        return (
            ", or the model has too many factors; fit again with fewer, and keep those under "
            f"which ratings held out are likelier{end}"
        )

    def __str__(self) -> str:
        levels = ", ".join(f"{100 * level:g} %" for level in _SHOWN)
        fractions = ", ".join(f"{100 * self.coverage[level]:.1f} %" for level in _SHOWN)
        return (
            f"{self.count:,} ratings: RMSE {self.rmse:.3f}, negative log-likelihood "
            f"{self.nll:.3f}\nintervals of {levels} cover {fractions}\n{self.advice}"
            f"{self._describe_newcomers()}"
        )

    def _describe_newcomers(self) -> str:
        apart = self.newcomers
        if apart is None:
            return ""
        return (
            f"\nApart: {apart.count:,} ratings by users or of items unknown to the fit, RMSE "
            f"{apart.rmse:.3f}, of which intervals of 90 % cover {100 * apart.coverage[0.9]:.1f} %"
        )


def assess_prediction(prediction: Prediction, ratings: np.ndarray) -> Assessment:
    """Compare predictions with the ratings that were given.

    Not with ratings that the fit has seen, which flatter it.

    Args:
        prediction: The predictions.
        ratings: ``[pair]``, the ratings.

    Returns:
        Errors, likelihood and coverage.

    Raises:
        ValueError: There are no ratings.

    Example:
        >>> prediction = Prediction(np.zeros(2), np.zeros(2), np.ones(2))
        >>> assess_prediction(prediction, np.array([1.0, -1.0])).rmse
        1.0
    """
    if not np.size(ratings):
        raise ValueError(
            "assess_prediction: there are no ratings; expected some that the fit has not seen. "
            "Set them aside first: train, test = split_by_row(ratings)."
        )
    values = np.asarray(ratings, dtype=np.float64)
    known = prediction.known
    if known is None or known.all() or not known.any():
        return _assess(prediction, values)
    apart = _assess(_select(prediction, ~known), values[~known])
    return replace(_assess(_select(prediction, known), values[known]), newcomers=apart)


def _select(prediction: Prediction, chosen: np.ndarray) -> Prediction:
    mean, mean_sd, sd = prediction.mean, prediction.mean_sd, prediction.sd
    return Prediction(mean[chosen], mean_sd[chosen], sd[chosen])


def _assess(prediction: Prediction, ratings: np.ndarray) -> Assessment:
    off = ratings - prediction.mean
    coverage = {
        level: float(np.mean(np.abs(off) <= ndtri(0.5 + level / 2) * prediction.sd))
        for level in _LEVELS
    }
    return Assessment(
        count=len(off),
        rmse=float(np.sqrt(np.mean(off**2))),
        mae=float(np.mean(np.abs(off))),
        nll=-float(np.mean(prediction.log_density(ratings))),
        coverage=coverage,
        surprise=float(np.mean((off / prediction.sd) ** 2)),
    )


def assess_ratings(posterior: Posterior, ratings: Ratings) -> Assessment:
    """Predict ratings by known users of known items, and compare.

    Args:
        posterior: The posterior.
        ratings: The ratings.

    Returns:
        Errors, likelihood and coverage.

    Raises:
        KeyError: A label is unknown.
        ValueError: There are no ratings.
    """
    users = posterior.find_users(ratings.user_ids[ratings.users])
    items = posterior.find_items(ratings.item_ids[ratings.items])
    return assess_prediction(predict_rows(posterior, users, items), ratings.values)
