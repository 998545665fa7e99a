"""A table with its rows and columns sorted so that alike ones lie side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ppl_ext.factorization.data.ratings import Ratings
from ppl_ext.factorization.result.factors import Factors
from ppl_ext.factorization.result.ranking import combine

__all__ = ["Blocks", "predict_blocks", "sort_blocks"]

# Singular vectors beyond these are mostly noise in a table of predictions.
_VECTORS = 6


@dataclass(frozen=True, eq=False)
class Blocks:
    """A table in blocks: groups of rows and groups of columns, each next to its like.

    Args:
        values: ``[row, column]``, the table in its new order.
        rows: ``[row]``, where each row was before.
        columns: ``[column]``, where each column was before.
        row_cuts: Rows at which a new group begins, the first one left out.
        column_cuts: Columns at which a new group begins.

    Example:
        >>> blocks = sort_blocks(np.array([[5.0, 1.0, 5.0], [1.0, 5.0, 1.0], [5.0, 1.0, 5.0]]), 2)
        >>> blocks.values.tolist(), blocks.row_cuts.tolist()
        ([[5.0, 1.0, 1.0], [1.0, 5.0, 5.0], [1.0, 5.0, 5.0]], [1])
    """

    values: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    row_cuts: np.ndarray
    column_cuts: np.ndarray


def sort_blocks(values: np.ndarray, num_groups: int = 4) -> Blocks:
    """Group rows and columns of a table by its leading singular vectors.

    Row and column means are taken off first, so that groups are of taste and not of level; rows
    are then joined by Ward's method on their coordinates along the leading singular vectors, and
    laid out so that neighbours are alike; columns likewise. Nothing is drawn at random.

    Not for large tables, since all rows are compared with each other: choose some hundred.

    Args:
        values: ``[row, column]``.
        num_groups: Number of groups of rows, and of columns, at most.

    Returns:
        The table in its new order, rows and columns of high values last.

    Raises:
        ValueError: The table is no finite matrix, or there are no groups.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> group = rng.permutation(np.repeat([0, 1], 10))
        >>> table = np.where(group[:, None] == group, 1.0, 0.0) + 0.1 * rng.normal(size=(20, 20))
        >>> blocks = sort_blocks(table, 2)
        >>> blocks.row_cuts.tolist(), len(set(group[blocks.rows[:10]]))
        ([10], 1)

    References:
        Kluger, Basri, Chang, Gerstein (2003), Spectral biclustering of microarray data, Genome
        Research 13(4), of which this is the scheme for interactions.
        Bar-Joseph, Gifford, Jaakkola (2001), Fast optimal leaf ordering, Bioinformatics 17.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.all(np.isfinite(values)) or num_groups < 1:
        raise ValueError(
            f"sort_blocks: got an array of shape {values.shape} for {num_groups} groups; expected "
            "a matrix [row, column] of finite numbers and at least one group. Write "
            "sort_blocks(factors.predict(users[:, None], items).mean, 4)."
        )
    row_means, column_means = values.mean(axis=1), values.mean(axis=0)
    taste = values - row_means[:, None] - column_means + values.mean()
    left, sizes, right = np.linalg.svd(taste, full_matrices=False)
    sizes[sizes < 1e-10 * np.abs(values).max()] = 0  # rounding is no taste
    rows, row_cuts = _order(left[:, :_VECTORS] * sizes[:_VECTORS], row_means, num_groups)
    columns, column_cuts = _order(right[:_VECTORS].T * sizes[:_VECTORS], column_means, num_groups)
    return Blocks(values[np.ix_(rows, columns)], rows, columns, row_cuts, column_cuts)


def _order(
    points: np.ndarray, means: np.ndarray, num_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in their new order, and where a new group begins."""
    if len(points) == 1:
        return np.zeros(1, dtype=np.intp), np.empty(0, dtype=np.intp)
    # They take longer to import than all else here.
    from scipy.cluster import hierarchy
    from scipy.spatial import distance

    tree = hierarchy.linkage(distance.pdist(points), "ward", optimal_ordering=True)
    groups = hierarchy.fcluster(tree, num_groups, "maxclust")
    leaves = np.asarray(hierarchy.leaves_list(tree), dtype=np.intp)
    half = len(leaves) // 2
    if means[leaves[:half]].mean() > means[leaves[-half:]].mean():
        leaves = leaves[::-1]
    # Groups keep the order of the tree, so that neighbours are alike; within one, level counts.
    rank = np.unique(groups[leaves], return_index=True)[1]
    order = np.lexsort((means, rank[groups - 1]))
    return order, np.flatnonzero(np.diff(groups[order])) + 1


def predict_blocks(
    factors: Factors, ratings: Ratings, max_rows: int = 300, num_groups: int = 5
) -> Blocks:
    """Predicted ratings of the busiest users for the most rated items, in blocks.

    Args:
        factors: The fit.
        ratings: The ratings, by which users and items are chosen.
        max_rows: Number of users, and of items, at most.
        num_groups: Number of groups of users, and of items, at most.

    Returns:
        The blocks; their rows and columns are rows of the factors.

    Example:
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
        >>> ratings = simulate_ratings(num_users=60, num_items=50, seed=0).ratings
        >>> factors = MatrixFactorization(2).fit(ratings, progress_bar=False)
        >>> predict_blocks(factors, ratings, max_rows=40).values.shape
        (40, 40)
    """
    users = factors.find_users(_choose(ratings.user_ids, ratings.users, max_rows))
    items = factors.find_items(_choose(ratings.item_ids, ratings.items, max_rows))
    table = combine(factors.posterior, factors.users.means(users), factors.items.means(items))
    blocks = sort_blocks(table, num_groups)
    return replace(blocks, rows=users[blocks.rows], columns=items[blocks.columns])


def _choose(labels: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Labels of those with most ratings."""
    rated = np.bincount(codes, minlength=len(labels))
    return labels[np.argsort(-rated, kind="stable")[:count]]
