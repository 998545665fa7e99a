"""Factors before any sweep: where an ascent other than the closed form starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.fitting.first_state import read_both, start_posterior
from ppl_ext.factorization.model.settings import ModelSettings
from ppl_ext.factorization.model.side_rows import prior_side, require_numba, write_rows
from ppl_ext.factorization.result.bound import sum_terms
from ppl_ext.factorization.result.factors import Factors
from ppl_ext.fitting.fit_log import FitLog

__all__ = ["begin_factors"]


def begin_factors(
    settings: ModelSettings,
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
        settings: The settings, a `MatrixFactorization`; their first seed is what is drawn with.
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
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
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
    features = read_both(
        "MatrixFactorization.fit", settings, ratings, user_features, item_features, None
    )
    values = ratings.values.astype(np.float64)
    spread = float(np.var(values)) or 1.0
    begun = start_posterior(
        settings,
        ratings.user_ids,
        ratings.item_ids,
        mean=float(np.mean(values)),
        spread=spread,
        features=features,
        seed=np.random.SeedSequence(settings.seed).spawn(1)[0],
        start=None,
    )
    users, items = prior_side(begun.users, begun.users.ids, begun.users.offsets), begun.items
    if settings.biases:
        # A sweep asks nothing of the items' biases before it; a guide needs them to have a spread.
        own = items.covariances(np.arange(1))[0]
        own[-1, -1] = 1 / items.prior.precision[-1, -1]
        write_rows(items, np.arange(len(items)), items.means(), own)
    begun = replace(begun, users=users, items=items)
    designs = {
        name: design
        for name, (_, design) in zip(("user", "item"), features, strict=True)
        if design is not None
    }
    elbo = np.array([sum_terms(begun, ratings, designs).total])
    return Factors(begun, elbo, FitLog(-elbo, "no sweep was made", False, 0.0))
