"""The start of a fit whose ratings are not all at hand: their labels and two moments suffice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.factorization.ratings import Ratings
from ppl_ext.factorization.starts import require_numba

if TYPE_CHECKING:
    from ppl_ext.factorization.factors import Factors
    from ppl_ext.factorization.model import MatrixFactorization
    from ppl_ext.factorization.sweeps import State

__all__ = ["Opening", "open_fit"]


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
    """Start as ``MatrixFactorization.fit`` does.

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
    from ppl_ext.factorization.beginning import Beginning, expect_variances, start_state
    from ppl_ext.factorization.settings import check_start

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
    featureless = Beginning(), Beginning()
    rng = np.random.default_rng(seed)
    state = start_state(centered, labels, variances, spread, featureless, rng, start)
    return Opening(state, variances, spread)
