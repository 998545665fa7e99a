"""Factors before any sweep: where an ascent other than the closed form starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.matrix_factorization import MatrixFactorization
from ppl_ext.factorization.model.side_rows import prior_side, require_numba, write_rows
from ppl_ext.factorization.result.bound import sum_terms
from ppl_ext.factorization.result.factors import Factors
from ppl_ext.fitting.loop import FitLog

__all__ = ["begin_factors"]


def begin_factors(
    settings: MatrixFactorization,
    ratings: Ratings,
    *,
    user_features: Any = None,
    item_features: Any = None,
) -> Factors:
    """Make the factors that a fit would start from, without fitting them.

    Users have the prior as their posterior, and so have coefficients of features and all biases;
    the items' factors are scattered at random, as every fit starts, so that users can tell them
    apart. It is where a host's ``SVI`` starts afresh, with ``FactorModel`` and ``FactorGuide`` of
    these factors. Not for predictions, and not for ``fit``, which needs no ``start``.

    Args:
        settings: The settings; their first seed is what is drawn with.
        ratings: The ratings: labels, mean and variance are read, and the ELBO is measured on them.
        user_features: Features of all users, as ``MatrixFactorization.fit`` takes them.
        item_features: The same of items.

    Returns:
        The factors, after no sweep; ``elbo`` is a single value.

    Raises:
        ValueError: There are no ratings, or a feature is missing.
        TypeError: A feature is no number.
        ModuleNotFoundError: numba is not installed.

    Example:
        >>> from ppl_ext.factorization import simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> settings = MatrixFactorization(2)
        >>> begun = begin_factors(settings, ratings)
        >>> begun.sweeps, bool(begun.elbo[-1] < settings.fit(ratings, progress_bar=False).elbo[0])
        (0, True)
    """
    if not len(ratings):
        raise ValueError(
            "begin_factors: there are no ratings; expected at least one. Read some with "
            "read_ratings(path)."
        )
    require_numba("begin_factors")
    from ppl_ext.factorization.model.first_state import expect_variances, read_side, start_state

    beginnings = (
        read_side(settings, user_features, ratings, None, by_user=True),
        read_side(settings, item_features, ratings, None, by_user=False),
    )
    spread = float(np.var(ratings.values, dtype=np.float64)) or 1.0
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed).spawn(1)[0])
    variances = expect_variances(settings, spread)
    state = start_state(settings, ratings, variances, spread, beginnings, rng, None)
    users, items = prior_side(state.users, state.users.ids, state.users.offsets), state.items
    if settings.biases:
        # A sweep asks nothing of the items' biases before it; a guide needs them to have a spread.
        own = items.covariances(np.arange(1))[0]
        own[-1, -1] = 1 / items.prior.precision[-1, -1]
        write_rows(items, np.arange(len(items)), items.means(), own)
    begun = Factors(
        users, items, settings.biases, settings.diagonal, state.center, state.noise_precision, 0,
        np.array([np.nan]), FitLog(np.array([np.nan]), "no sweep was made", False, 0.0),
    )  # fmt: skip
    named = zip(("user", "item"), beginnings, strict=True)
    designs = {name: each.design for name, each in named if each.design is not None}
    elbo = np.array([sum_terms(begun, ratings, designs).total])
    return replace(begun, elbo=elbo, log=replace(begun.log, losses=-elbo))
