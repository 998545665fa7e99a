"""Where a fit starts: features of its sides, variances that are expected, and the first state."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.factorization.data.features import read_features
from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.regression import Design, Regression, start_regression
from ppl_ext.factorization.model.settings import check_start
from ppl_ext.factorization.model.side_rows import (
    adopt_rows,
    require_numba,
    scatter_rows,
    start_side,
)
from ppl_ext.factorization.model.state import State

if TYPE_CHECKING:
    from ppl_ext.factorization.model.matrix_factorization import MatrixFactorization
    from ppl_ext.factorization.result.factors import Factors

__all__ = [
    "Opening", "SideFeatures", "expect_variances", "open_fit", "read_side", "start_state",
]  # fmt: skip

_CALLED = "MatrixFactorization.fit"


@dataclass(frozen=True, eq=False)
class SideFeatures:
    """Features of a side, and the regression on them that a fit starts with.

    Args:
        regression: The regression; None without features.
        design: The standardised features.
    """

    regression: Regression | None = None
    design: Design | None = None

    @property
    def offsets(self) -> np.ndarray | None:
        """``[row, dim]``, what the features add to the prior's mean at first."""
        if self.regression is None or self.design is None:
            return None
        return self.regression.offsets(self.design)


def read_side(
    model: MatrixFactorization,
    source: Any,
    ratings: Ratings,
    start: Factors | None,
    by_user: bool,
) -> SideFeatures:
    """Check the features of a side, and go on from an earlier regression on them.

    Args:
        model: The settings.
        source: The features, or None.
        ratings: The ratings.
        start: An earlier fit.
        by_user: Whether these are the users, or the items.

    Returns:
        The features and their regression.

    Raises:
        ValueError: The earlier fit had features and there are none now, or others.
    """
    name, labels = ("user", ratings.user_ids) if by_user else ("item", ratings.item_ids)
    earlier = None
    if start is not None:
        earlier = (start.users if by_user else start.items).regression
    if source is None:
        if earlier is not None:
            raise ValueError(
                f"{_CALLED}: start was fitted with {len(earlier.names):,} features of {name}s, "
                f"'{earlier.names[0]}' first, and there are none now; expected the same. Pass "
                f"{name}_features= as well."
            )
        return SideFeatures()
    called = f"{_CALLED}: {name}_features"
    names = None if earlier is None else earlier.names
    _, columns, table = read_features(source, called, labels, names)
    regression = earlier or start_regression(columns, table, _measure_dim(model))
    return SideFeatures(regression, regression.design(table))


def expect_variances(model: MatrixFactorization, spread: float) -> np.ndarray:
    """Variances of latent vectors before any rating is seen.

    Wide ones: on MovieLens-100K those that would explain half of the spread, seven times
    narrower, let more factors fit noise and cost 0.004 in test RMSE.

    Args:
        model: The settings.
        spread: Variance of the ratings.

    Returns:
        ``[dim]``.
    """
    variances = np.full(_measure_dim(model), math.sqrt(spread))
    if model.biases:
        variances[-1] = spread / 4
    return variances


def _measure_dim(model: MatrixFactorization) -> int:
    return model.num_factors + (1 if model.biases else 0)


def start_state(
    model: MatrixFactorization,
    ratings: Ratings,
    variances: np.ndarray,
    spread: float,
    features: tuple[SideFeatures, SideFeatures],
    rng: np.random.Generator,
    start: Factors | None,
) -> State:
    """Factors of the items scattered at random, or those of an earlier fit.

    Args:
        model: The settings.
        ratings: The ratings.
        variances: ``[dim]``, what is expected of latent vectors before any rating is seen.
        spread: Variance of the ratings.
        features: Features of users and of items.
        rng: Source of randomness.
        start: The earlier fit.

    Returns:
        The state.
    """
    center = model.center
    if center is None:
        center = float(np.mean(ratings.values, dtype=np.float64))
    tau = 1 / spread if model.noise.variance is None else 1 / model.noise.variance
    users, items = (
        start_side(
            ids, len(variances), model.dtype, variances, prior, weighted, model.biases,
            beginning.regression, beginning.offsets,
        )
        for ids, prior, weighted, beginning in zip(
            (ratings.user_ids, ratings.item_ids),
            (model.user_prior, model.item_prior),
            (model.noise.by_user, model.noise.by_item),
            features,
            strict=True,
        )
    )  # fmt: skip
    if start is None:
        sd = math.sqrt(0.1 * math.sqrt(spread / model.num_factors))
        sds = model.start_sds or (sd, 0.3 * sd)
        return State(users, scatter_rows(items, rng, *sds, model.num_factors), tau, center)
    return State(
        adopt_rows(users, start.users),
        adopt_rows(items, start.items),
        start.noise_precision if model.noise.variance is None else tau,
        start.center,
        start.sweeps,
    )


@dataclass(frozen=True, eq=False)
class Opening:
    """Where a fit starts, and what is expected before any rating is seen.

    Args:
        state: Users, items, noise and center.
        variances: ``[dim]``, of latent vectors.
        spread: Variance of the ratings.
    """

    state: State
    variances: np.ndarray
    spread: float


def open_fit(
    called: str,
    model: MatrixFactorization,
    user_ids: np.ndarray,
    item_ids: np.ndarray,
    *,
    mean: float,
    variance: float,
    seed: np.random.SeedSequence,
    start: Factors | None = None,
) -> Opening:
    """Start as ``MatrixFactorization.fit`` does, from labels and two moments of the ratings.

    For ratings that are not all at hand: those of a stream, or of other processes.

    Args:
        called: The function that a user called.
        model: Settings.
        user_ids: Labels of the users.
        item_ids: Labels of the items.
        mean: Mean of all ratings, wherever they are kept.
        variance: Their variance.
        seed: Seed of the items' factors.
        start: Factors to go on from.

    Returns:
        The start.

    Raises:
        ValueError: ``start`` has features, or is of other settings.
        ModuleNotFoundError: numba is not installed.
    """
    require_numba(called)
    if start is not None:
        check_start(model, start)
        if start.users.regression is not None or start.items.regression is not None:
            raise ValueError(
                f"{called}: start was fitted with features, which this fit does not learn from; "
                "expected none. Fit with MatrixFactorization.fit(ratings, start=factors, ...)."
            )
    spread = variance or 1.0
    nothing = np.zeros(0, np.int32)
    labels = Ratings(nothing, nothing, np.zeros(0, np.float32), user_ids, item_ids)
    centered = replace(model, center=mean if model.center is None else model.center)
    variances = expect_variances(model, spread)
    featureless = SideFeatures(), SideFeatures()
    rng = np.random.default_rng(seed)
    state = start_state(centered, labels, variances, spread, featureless, rng, start)
    return Opening(state, variances, spread)
