"""Whether the particles have forgotten where they began and the islands tell the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import chi2

__all__ = ["Mixing", "forgetting", "measure_mixing", "rank_normalize"]

_CHANCE = 0.99  # islands that differ by more than this part of chance would have it count


@dataclass(frozen=True)
class Mixing:
    """How well draws of several islands, each of many particles, agree.

    Args:
        rhat: Rank-normalised R-hat of each column, the larger of that of values and of distances
            from the median, ``[column]``.
        ess: Effective number of draws of each column, the smaller of the two, ``[column]``.
    """

    rhat: np.ndarray
    ess: np.ndarray


def rank_normalize(x: np.ndarray) -> np.ndarray:
    """Normal scores of the ranks along the first axis, ties in the order they come."""
    order = np.argsort(x, axis=0, kind="stable")
    ranks = np.empty(x.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, len(x) + 1)[:, None], axis=0)
    scores: np.ndarray = ndtri((ranks - 0.375) / (len(x) + 0.25))
    return scores


def forgetting(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Rank correlation of each coordinate with where it was, ``[column]``."""
    first, second = rank_normalize(before), rank_normalize(after)
    correlation: np.ndarray = (first * second).mean(0) / (first**2).mean(0)
    return correlation


def measure_mixing(states: np.ndarray) -> Mixing:
    """Compare islands with each other, the first half of the time with the second.

    The particles of an island are independent once they have forgotten their common ancestors;
    whether they have shows in the islands, which never met. Their means may therefore lower the
    effective number, but only where they differ by more than chance would let them.

    Args:
        states: ``[time, island, particle, column]``.

    Returns:
        R-hat and effective number of draws of each column.

    References:
        Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), Rank-normalization, folding, and
        localization: an improved R-hat, Bayesian Analysis 16(2).
        Margossian, Hoffman, Sountsov, Riou-Durand, Vehtari, Gelman (2024), Nested R-hat,
        Bayesian Analysis.
    """
    flat = states.reshape(-1, states.shape[-1])
    folded = np.abs(flat - np.median(flat, axis=0))
    both = []
    for columns in (flat, folded):
        scores = rank_normalize(columns).reshape(states.shape)
        both.append((_rhat(scores), _ess(scores)))
    (rhat, ess), (rhat_folded, ess_folded) = both
    return Mixing(np.maximum(rhat, rhat_folded), np.minimum(ess, ess_folded))


def _rhat(scores: np.ndarray) -> np.ndarray:
    time, islands, particles, columns = scores.shape
    halves = 2 if time > 1 else 1
    length = time // halves
    chains = scores[: length * halves].reshape(halves, length, islands, particles, columns)
    chains = np.moveaxis(chains, 2, 1).reshape(halves * islands, length * particles, columns)
    count = chains.shape[1]
    within = chains.var(axis=1, ddof=1).mean(0)
    between = chains.mean(1).var(axis=0, ddof=1)
    rhat: np.ndarray = np.sqrt((count - 1) / count + between / within)
    return rhat


def _ess(scores: np.ndarray) -> np.ndarray:
    _, islands, particles, _ = scores.shape
    variance = scores.var(axis=(0, 1, 2))
    own = scores.mean(0)  # of each particle over time
    within = own.var(axis=1, ddof=1).mean(0) / (islands * particles)
    if islands > 1:
        slack = (islands - 1) / chi2.ppf(_CHANCE, islands - 1)
        between = slack * own.mean(1).var(axis=0, ddof=1) / islands
        within = np.maximum(within, between)
    ess: np.ndarray = variance / within
    return ess
