"""Users and items that come after the fit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.factorization.ratings import Ratings
from ppl_ext.factorization.side import Side
from ppl_ext.factorization.starts import append_rows, prior_side, require_numba

if TYPE_CHECKING:
    from ppl_ext.factorization.factors import Factors

__all__ = ["fold_in"]

# Updates of the newcomers: their factors and weights depend on each other.
_UPDATES = 10


def fold_in(factors: Factors, ratings: Ratings, by_user: bool) -> Factors:
    """Add users (or items) by the exact update of their posteriors, all else fixed.

    Args:
        factors: The fit.
        ratings: Ratings by (or of) the new ones.
        by_user: Whether users are new, or items.

    Returns:
        Factors with the new ones after the others.

    Raises:
        ValueError: One of them is known already.
        KeyError: One on the other side is unknown.
    """
    name, own = ("user", factors.users) if by_user else ("item", factors.items)
    ids, codes = (
        (ratings.user_ids, ratings.users) if by_user else (ratings.item_ids, ratings.items)
    )
    present = np.unique(codes)
    labels = ids[present]
    require_numba(f"Factors.fold_in_{name}s")
    from ppl_ext.factorization.sweeps import Adjacency, update_side

    if (known := labels[np.isin(labels, own.ids)]).size:
        raise ValueError(
            f"Factors.fold_in_{name}s: {name} {known[0].item()!r} is known already, and "
            f"{known.size - 1:,} more; expected new ones. Refit with fit(ratings, start=factors)."
        )
    others = factors.items if by_user else factors.users
    columns = (
        factors.find_items(ratings.item_ids[ratings.items])
        if by_user
        else factors.find_users(ratings.user_ids[ratings.users])
    )
    rows = np.searchsorted(present, codes)
    order = np.argsort(rows, kind="stable")
    indptr = np.zeros(len(present) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows), out=indptr[1:])
    adjacency = Adjacency(indptr, columns[order].astype(np.int32), ratings.values[order])
    newcomers: Side = prior_side(own, labels)
    for _ in range(_UPDATES if own.concentration else 1):
        newcomers, _ = update_side(
            newcomers, others, adjacency, center=factors.center,
            noise_precision=factors.noise_precision, bias=factors.biases,
            diagonal=factors.diagonal,
        )  # fmt: skip
    grown = append_rows(own, newcomers)
    return replace(factors, users=grown) if by_user else replace(factors, items=grown)
