"""Draws in proportion to their weights."""

import numpy as np

__all__ = ["choose_rows", "truncate_weights"]


def choose_rows(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Systematic resampling: each row as often as its share of the weights, to within one.

    Args:
        weights: ``[row]``, not negative and not all zero; they need not sum to one.
        count: How many rows are wanted.
        rng: Source of the one random number that this takes.

    Returns:
        Rows ``[count]`` in rising order, a row that is chosen twice beside itself.

    Example:
        >>> choose_rows(np.array([1.0, 0.0, 3.0]), 4, np.random.default_rng(0)).tolist()
        [0, 2, 2, 2]

    References:
        Kitagawa (1996), Monte Carlo filter and smoother for non-Gaussian nonlinear state space
        models, JCGS 5(1).
    """
    cumulative = np.cumsum(weights)
    positions = (np.arange(count) + rng.uniform()) / count * cumulative[-1]
    # Rounding may put the last position at the very end, behind all rows.
    return np.minimum(np.searchsorted(cumulative, positions, side="right"), len(weights) - 1)


def truncate_weights(weights: np.ndarray) -> np.ndarray:
    """Cut off what is larger than the mean times the root of the number of weights.

    Args:
        weights: ``[row]``.

    Returns:
        The weights, none of which outweighs that many draws.

    Example:
        >>> truncate_weights(np.array([0.0, 0.0, 0.0, 8.0])).tolist()
        [0.0, 0.0, 0.0, 4.0]

    References:
        Ionides (2008), Truncated importance sampling, JCGS 17(2).
    """
    return np.minimum(weights, np.sqrt(len(weights)) * weights.mean())
