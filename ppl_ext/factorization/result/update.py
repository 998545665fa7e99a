"""New ratings without the old ones: yesterday's posterior is today's prior."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.model.posterior import Posterior
from ppl_ext.factorization.model.side_posterior import Side
from ppl_ext.factorization.model.side_rows import (
    append_rows,
    prior_side,
    take_rows,
    write_rows,
)
from ppl_ext.factorization.result.factors import Factors, open_factors
from ppl_ext.factorization.solver.rating_sums import RatingSums, add_ratings, solve_rows

__all__ = ["update_factors"]


def update_factors(factors: Factors, ratings: Ratings, *, max_sweeps: int = 10) -> Factors:
    r"""Learn from ratings that came after the fit, with the posteriors of the fit as priors.

    Users and items among them that are new start from the priors that the fit learned. What the
    fit has seen is not needed again: natural parameters add,

    .. math:: \Lambda' = \Lambda + \tau E[a] \sum_j E[g_j] E[w_j w_j'].

    Noise and priors stay as they are, and so do those whom no new rating concerns; ``elbo`` stays
    that of the fit. Not for ratings that the fit has seen, which would count twice, and not in
    place of a refit, ``fit(ratings, start=factors)``, after the table has grown by a half.

    Args:
        factors: The fit.
        ratings: New ratings, by known users or new ones, of known items or new ones.
        max_sweeps: Updates of users and items by turns.

    Returns:
        Factors with what the new ratings say; new users and items come after the others.

    Raises:
        ValueError: The fit had features, labels are text here and integers there, or
            ``max_sweeps`` is no positive integer.

    Example:
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings, split_by_user
        >>> ratings = simulate_ratings(num_users=200, num_items=60, seed=0).ratings
        >>> old, new = split_by_user(ratings, 0.5, seed=0)
        >>> before = MatrixFactorization(2).fit(old, progress_bar=False)
        >>> after = update_factors(before, new)
        >>> bool(after.predict(3, 5).mean_sd < before.predict(3, 5).mean_sd)
        True

    References:
        Broderick, Boyd, Wibisono, Wilson, Jordan (2013), Streaming variational Bayes, NeurIPS.
    """
    if not isinstance(max_sweeps, int | np.integer) or max_sweeps < 1:
        raise ValueError(
            f"update_factors: max_sweeps={max_sweeps}; expected an integer of at least 1. Write "
            "update_factors(factors, ratings)."
        )
    posterior = open_factors("update_factors", factors)
    for name, side in posterior.sides:
        if side.regression is not None:
            raise ValueError(
                f"update_factors: the fit had features of {name}s, which an update does not learn "
                "from; expected none. Refit: fit(all_ratings, start=factors, "
                f"{name}_features=...)."
            )
    if not len(ratings):
        return factors
    users, user_rows = _grow(posterior.users, ratings.user_ids[np.unique(ratings.users)])
    items, item_rows = _grow(posterior.items, ratings.item_ids[np.unique(ratings.items)])
    user_codes = np.unique(ratings.users, return_inverse=True)[1]
    item_codes = np.unique(ratings.items, return_inverse=True)[1]
    off = ratings.values.astype(np.float64) - posterior.center
    before = _read_beliefs(users, user_rows), _read_beliefs(items, item_rows)
    for _ in range(max_sweeps):
        sums = add_ratings(
            take_rows(items, item_rows), user_codes, item_codes, off, len(user_rows)
        )
        counts = np.bincount(user_codes, minlength=len(user_rows))
        _update(posterior, users, user_rows, before[0], sums, counts)
        sums = add_ratings(
            take_rows(users, user_rows), item_codes, user_codes, off, len(item_rows)
        )
        counts = np.bincount(item_codes, minlength=len(item_rows))
        _update(posterior, items, item_rows, before[1], sums, counts)
    return replace(factors, posterior=replace(posterior, users=users, items=items))


class _Beliefs(NamedTuple):
    """Natural parameters of rows: ``[row, dim, dim]``, ``[row, dim]``, and ``[row]`` twice."""

    precision: np.ndarray
    pull: np.ndarray
    shape: np.ndarray
    rate: np.ndarray


def _grow(side: Side, labels: np.ndarray) -> tuple[Side, np.ndarray]:
    """A copy of a side with rows for these labels, and the positions of all of them."""
    # Joined to text, integers would all become text, and nobody would be known.
    if len(side) and (labels.dtype.kind in "US") != (side.ids.dtype.kind in "US"):
        raise ValueError(
            f"update_factors: the new ratings have labels such as {labels[0].item()!r}, and the "
            f"fit {side.ids[0].item()!r}; expected text in both or integers in both. Read both "
            "files in the same way."
        )
    new = labels[~np.isin(labels, side.ids)]
    grown = append_rows(side, prior_side(side, new))
    order = np.argsort(grown.ids, kind="stable")
    return grown, order[np.searchsorted(grown.ids, labels, sorter=order)]


def _read_beliefs(side: Side, rows: np.ndarray) -> _Beliefs:
    values, vectors = np.linalg.eigh(side.covariances(rows))
    # Single-precision storage can leave a variance of nearly zero on the wrong side of it.
    means = side.means(rows)
    least = np.finfo(side.table.dtype).eps * (values[:, -1:] + np.sum(means**2, 1, keepdims=True))
    values = np.maximum(values, least)
    precision = np.einsum("rik,rk,rjk->rij", vectors, 1 / values, vectors)
    pull = np.einsum("rij,rj->ri", precision, means)
    return _Beliefs(precision, pull, side.shape[rows].copy(), side.rate[rows].copy())


def _update(
    posterior: Posterior,
    side: Side,
    rows: np.ndarray,
    before: _Beliefs,
    sums: RatingSums,
    counts: np.ndarray,
) -> None:
    """Update rows of a side, in place."""
    tau = posterior.noise_precision
    means, covariances, errors, _ = solve_rows(
        sums,
        tau * side.weights[rows],
        before.precision,
        before.pull,
        bias=posterior.biases,
        diagonal=posterior.diagonal,
    )
    weights = np.ones(len(rows))
    if side.concentration:
        side.shape[rows] = before.shape + counts / 2
        side.rate[rows] = before.rate + tau * errors / 2
        weights = side.shape[rows] / side.rate[rows]
    write_rows(side, rows, means, covariances, weights)
