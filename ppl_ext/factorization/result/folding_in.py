"""Users and items that come after the fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ppl_ext.factorization.data.features import read_features
from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.model.regression import Regression
from ppl_ext.factorization.model.side_posterior import Side
from ppl_ext.factorization.model.side_rows import (
    append_rows,
    prior_side,
    require_numba,
    write_rows,
)
from ppl_ext.factorization.solver.adjacency import Adjacency

__all__ = ["fold_in", "fold_in_unknown"]

# Updates of the newcomers: their factors and weights depend on each other.
_UPDATES = 10


def fold_in(
    posterior: Posterior, ratings: Ratings | None, features: Any, by_user: bool
) -> Posterior:
    """Add users (or items) by the exact update of their posteriors, all else fixed.

    Args:
        posterior: The posterior.
        ratings: Ratings by (or of) the new ones; None where they have features alone.
        features: Features of the new ones, where the fit had features.
        by_user: Whether users are new, or items.

    Returns:
        The posterior with the new ones after the others.

    Raises:
        ValueError: One of them is known already, or their features are not those of the fit.
        KeyError: One on the other side is unknown.
    """
    name, own = ("user", posterior.users) if by_user else ("item", posterior.items)
    called = f"Factors.fold_in_{name}s"
    if ratings is None and features is None:
        raise ValueError(
            f"{called}: neither ratings nor features are given; expected at least one of them. "
            f"Write fold_in_{name}s(ratings), or fold_in_{name}s(features=frame)."
        )
    rated, rows, columns = np.empty(0, own.ids.dtype), np.empty(0, int), np.empty(0, int)
    values = np.empty(0, np.float32)
    if ratings is not None:
        ids, codes = (
            (ratings.user_ids, ratings.users) if by_user else (ratings.item_ids, ratings.items)
        )
        present = np.unique(codes)
        rated, rows, values = ids[present], np.searchsorted(present, codes), ratings.values
        _check_unknown(rated, own, name)
        columns = (
            posterior.find_items(ratings.item_ids[ratings.items])
            if by_user
            else posterior.find_users(ratings.user_ids[ratings.users])
        )
    labels, offsets, spread = _describe(own, rated, features, called)
    _check_unknown(labels, own, name)
    newcomers = prior_side(own, labels, offsets)
    if len(rated):
        rows = np.argsort(labels, kind="stable")[np.searchsorted(np.sort(labels), rated)][rows]
        newcomers = _learn(posterior, newcomers, rows, columns, values, by_user)
    if spread is not None:
        # Of those who have features alone, what the features say is itself uncertain.
        alone = np.flatnonzero(~np.isin(labels, rated))
        covariances = np.linalg.inv(own.prior.precision) * (1 + spread[alone, None, None])
        write_rows(newcomers, alone, newcomers.prior_means(alone), covariances)
    grown = append_rows(own, newcomers)
    return replace(posterior, users=grown) if by_user else replace(posterior, items=grown)


def fold_in_unknown(posterior: Posterior, features: Any, by_user: bool) -> Posterior:
    """Add those users (or items) of a table of features who are not known yet.

    Args:
        posterior: The posterior.
        features: Features, with labels.
        by_user: Whether these are users, or items.

    Returns:
        The posterior with the new ones after the others, or the same.
    """
    name, own = ("user", posterior.users) if by_user else ("item", posterior.items)
    called = f"Factors.predict: {name}_features"
    names = _expect_regression(own, called).names
    labels, _, table = read_features(features, called, None, names)
    new = ~np.isin(labels, own.ids)
    if not new.any():
        return posterior
    return fold_in(posterior, None, (labels[new], table[new]), by_user)


def _expect_regression(own: Side, called: str) -> Regression:
    if own.regression is None:
        raise ValueError(
            f"{called}: the fit had no such features; expected none. Leave them out, or fit with "
            "user_features= or item_features=."
        )
    return own.regression


def _describe(
    own: Side, rated: np.ndarray, features: Any, called: str
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Labels of the newcomers, what their features add to the prior's mean, and how surely."""
    if features is None:
        if own.regression is not None:
            raise ValueError(
                f"{called}: the fit had {len(own.regression.names):,} features, "
                f"'{own.regression.names[0]}' first, and the newcomers have none; expected the "
                "same. Pass features=, with the mean of a column where it is not known."
            )
        return rated, None, None
    regression = _expect_regression(own, f"{called}: features")
    # A matrix without labels is that of the newcomers in the order of their labels.
    labelled = isinstance(features, tuple) or hasattr(features, "columns") or not len(rated)
    known = None if labelled else rated
    labels, _, table = read_features(features, f"{called}: features", known, regression.names)
    if (missing := rated[~np.isin(rated, labels)]).size:
        raise ValueError(
            f"{called}: features has no row for {missing[0].item()!r}, who has ratings; expected "
            "one for each newcomer. Add it: with the mean of each column nothing is assumed."
        )
    design = regression.design(table)
    return labels, regression.offsets(design), regression.spread(design)


def _check_unknown(labels: np.ndarray, own: Side, name: str) -> None:
    if len(labels) and (labels.dtype.kind in "US") != (own.ids.dtype.kind in "US"):
        raise ValueError(
            f"Factors.fold_in_{name}s: the new {name}s have labels such as {labels[0].item()!r}; "
            f"expected some like {own.ids[0].item()!r}, as in the fit. Convert them: "
            f"labels.astype({'str' if own.ids.dtype.kind in 'US' else 'int'})."
        )
    if (known := labels[np.isin(labels, own.ids)]).size:
        raise ValueError(
            f"Factors.fold_in_{name}s: {name} {known[0].item()!r} is known already, and "
            f"{known.size - 1:,} more; expected new ones. Refit with fit(ratings, start=factors)."
        )


def _learn(
    posterior: Posterior,
    newcomers: Side,
    rows: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    by_user: bool,
) -> Side:
    require_numba("Factors.fold_in_users" if by_user else "Factors.fold_in_items")
    # Compiled by numba, which need not be there for anything else.
    from ppl_ext.factorization.solver.side_update import update_side

    order = np.argsort(rows, kind="stable")
    indptr = np.zeros(len(newcomers) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=len(newcomers)), out=indptr[1:])
    adjacency = Adjacency(indptr, columns[order].astype(np.int32), values[order])
    for _ in range(_UPDATES if newcomers.concentration else 1):
        newcomers, _ = update_side(
            newcomers,
            posterior.items if by_user else posterior.users,
            adjacency,
            center=posterior.center,
            noise_precision=posterior.noise_precision,
            bias=posterior.biases,
            diagonal=posterior.diagonal,
        )
    return newcomers
