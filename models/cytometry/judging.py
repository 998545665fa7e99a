"""How well cells are told apart: F1, calibration, flags and used clusters."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

__all__ = ["area_under_curve", "calibration_error", "match_clusters", "population_f1"]


def population_f1(truth: np.ndarray, found: np.ndarray, count: int) -> np.ndarray:
    """Return the F1 score of each population, ``[count]``: 1 where all its cells are found alone.

    Args:
        truth: ``[cell]``.
        found: ``[cell]``.
        count: Number of populations, from 0.
    """
    pairs = _count_pairs(truth, found, count, max(count, int(found.max()) + 1))
    both = np.diagonal(pairs)
    return 2 * both / np.maximum(pairs.sum(1) + pairs.sum(0)[:count], 1)


def match_clusters(truth: np.ndarray, clusters: np.ndarray, count: int) -> np.ndarray:
    """Return the F1 score of each population with one cluster of its own, the best for the sum.

    Args:
        truth: ``[cell]``, populations from 0.
        clusters: ``[cell]``.
        count: Number of populations.

    References:
        Weber, Robinson (2016), Comparison of clustering methods for high-dimensional single-cell
        flow and mass cytometry data, Cytometry A 89, doi:10.1002/cyto.a.23030.
    """
    pairs = _count_pairs(truth, clusters, count, int(clusters.max()) + 1)
    f1 = 2 * pairs / np.maximum(pairs.sum(1)[:, None] + pairs.sum(0), 1)
    rows, columns = linear_sum_assignment(-f1)
    best = np.zeros(count)
    best[rows] = f1[rows, columns]
    return best


def _count_pairs(truth, found, rows, columns):
    return np.bincount(truth * columns + found, minlength=rows * columns).reshape(rows, columns)


def calibration_error(probs: np.ndarray, truth: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error: how far confidence is from the share that is right.

    Args:
        probs: ``[cell, population]``.
        truth: ``[cell]``.
        bins: Equal parts of the confidence.

    References:
        Naeini, Cooper, Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian
        binning, AAAI.
    """
    confidence = probs.max(1)
    right = probs.argmax(1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    excess = np.bincount(place, confidence - right, minlength=bins)
    return float(np.abs(excess).sum() / len(probs))


def area_under_curve(score: np.ndarray, positive: np.ndarray) -> float:
    """Return the probability that a positive cell has the larger score; ties count half."""
    count = int(positive.sum())
    ranks = rankdata(score)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * (len(score) - count)))
