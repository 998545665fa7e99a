"""Where a fit starts: features of its sides, variances that are expected, the first state."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.checks import check_start
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.model.regression import Design, Regression
from ppl_ext.factorization.model.settings import ModelSettings
from ppl_ext.factorization.model.side_features import start_features
from ppl_ext.factorization.model.side_rows import (
    adopt_rows,
    require_numba,
    scatter_rows,
    start_side,
)
from ppl_ext.factorization.result.factors import Factors

__all__ = [
    "Features",
    "expect_variances",
    "open_fit",
    "open_start",
    "read_both",
    "start_posterior",
]

# Of users and of items: the regression on features that a fit starts with, and the features.
Features: TypeAlias = tuple[
    tuple[Regression | None, Design | None], tuple[Regression | None, Design | None]
]
_FEATURELESS: Features = (None, None), (None, None)


def expect_variances(num_factors: int, biases: bool, spread: float) -> np.ndarray:
    """Variances of latent vectors before any rating is seen.

    Wide ones: on MovieLens-100K those that would explain half of the spread, seven times
    narrower, let more factors fit noise and cost 0.004 in test RMSE.

    Args:
        num_factors: Length of the factors.
        biases: Whether there are biases.
        spread: Variance of the ratings.

    Returns:
        ``[dim]``.
    """
    variances = np.full(num_factors + (1 if biases else 0), math.sqrt(spread))
    if biases:
        variances[-1] = spread / 4
    return variances


def read_both(
    called: str,
    settings: ModelSettings,
    ratings: Ratings,
    user_features: Any,
    item_features: Any,
    start: Posterior | None,
) -> Features:
    """Read the features of both sides.

    Args:
        called: What a user called, for the messages.
        settings: The settings.
        ratings: The ratings, for their labels.
        user_features: Features of users, or None.
        item_features: Features of items, or None.
        start: An earlier fit.

    Returns:
        Regression and features of users and of items.

    Raises:
        ValueError: A feature is missing, or not that of the earlier fit.
        TypeError: A feature is no number.
    """
    dim = settings.num_factors + (1 if settings.biases else 0)
    user, item = (
        (None, None) if start is None else (start.users.regression, start.items.regression)
    )
    return (
        start_features(called, "user", user_features, ratings.user_ids, user, dim),
        start_features(called, "item", item_features, ratings.item_ids, item, dim),
    )


def start_posterior(
    settings: ModelSettings,
    user_ids: np.ndarray,
    item_ids: np.ndarray,
    *,
    mean: float,
    spread: float,
    features: Features = _FEATURELESS,
    seed: np.random.SeedSequence,
    start: Posterior | None,
) -> Posterior:
    """Factors of the items scattered at random, or those of an earlier fit.

    Args:
        settings: The settings.
        user_ids: Labels of the users.
        item_ids: Labels of the items.
        mean: Mean of the ratings.
        spread: Variance of the ratings.
        features: Features of users and of items.
        seed: Seed of the items' factors.
        start: The earlier fit.

    Returns:
        What the first sweep starts from.
    """
    variances = expect_variances(settings.num_factors, settings.biases, spread)
    fixed = settings.noise.variance
    tau = 1 / spread if fixed is None else 1 / fixed
    users, items = (
        start_side(
            ids,
            settings.dtype,
            variances,
            prior,
            weighted=weighted,
            bias=settings.biases,
            regression=regression,
            offsets=None if regression is None or design is None else regression.offsets(design),
        )
        for ids, prior, weighted, (regression, design) in zip(
            (user_ids, item_ids),
            (settings.user_prior, settings.item_prior),
            (settings.noise.by_user, settings.noise.by_item),
            features,
            strict=True,
        )
    )
    begun = Posterior(
        users,
        items,
        settings.biases,
        settings.diagonal,
        mean if settings.center is None else settings.center,
        tau,
    )
    if start is None:
        sd = math.sqrt(0.1 * math.sqrt(spread / settings.num_factors))
        sds = settings.start_sds or (sd, 0.3 * sd)
        rng = np.random.default_rng(seed)
        return replace(begun, items=scatter_rows(items, rng, *sds, settings.num_factors))
    return replace(
        begun,
        users=adopt_rows(users, start.users),
        items=adopt_rows(items, start.items),
        noise_precision=start.noise_precision if fixed is None else tau,
        center=start.center,
        sweeps=start.sweeps,
    )


def open_fit(
    called: str,
    settings: ModelSettings,
    user_ids: np.ndarray,
    item_ids: np.ndarray,
    *,
    mean: float,
    spread: float,
    seed: np.random.SeedSequence,
    start: Factors | None = None,
) -> Posterior:
    """Start as ``MatrixFactorization.fit`` does, from labels and two moments of the ratings.

    For ratings that are not all at hand: those of a stream, or of other processes.

    Args:
        called: The function that a user called.
        settings: Settings.
        user_ids: Labels of the users.
        item_ids: Labels of the items.
        mean: Mean of all ratings, wherever they are kept.
        spread: Their variance; one where they are all equal.
        seed: Seed of the items' factors.
        start: Factors to go on from.

    Returns:
        The start.

    Raises:
        TypeError: ``start`` is no fit.
        ValueError: ``start`` has features, or is of other settings.
        ModuleNotFoundError: numba is not installed.
    """
    require_numba(called)
    known = None if start is None else open_start(called, settings, start)
    if known is not None and any(side.regression is not None for _, side in known.sides):
        raise ValueError(
            f"{called}: start was fitted with features, which this fit does not learn from; "
            "expected none. Fit with MatrixFactorization.fit(ratings, start=factors, ...)."
        )
    return start_posterior(
        settings, user_ids, item_ids, mean=mean, spread=spread, seed=seed, start=known
    )


def open_start(called: str, settings: ModelSettings, start: Any) -> Posterior:
    """The posterior to go on from, or a refusal of what is no fit, or one of other settings."""
    if not isinstance(start, Factors):
        raise TypeError(
            f"{called}: start is a {type(start).__name__}; expected Factors. Read a file with "
            "load_factors(path)."
        )
    check_start(settings, start.posterior)
    return start.posterior
