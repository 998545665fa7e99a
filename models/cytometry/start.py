"""Where a fit starts: clusters from labels or k-means, never from random ones, which collapse."""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.vq import kmeans2

__all__ = ["Start", "find_discriminant", "find_start", "split_clusters"]


@dataclass(frozen=True, eq=False)
class Start:
    """A mixture of Gaussians on principal components, and its linear discriminant.

    Attributes:
        loadings: ``[marker, dim]``, orthonormal.
        slope: ``[marker, cluster]`` of the discriminant.
        intercept: ``[cluster]`` of the discriminant.
        shares: ``[cluster]``.
        loc: ``[cluster, dim]``, means.
        factor: ``[cluster, dim, dim]``, lower triangular, times its transpose the precision.
        z_sd: ``[dim]``, of z given a cell.
        x_sd: ``[marker]``, of what the components leave over.
    """

    loadings: np.ndarray
    slope: np.ndarray
    intercept: np.ndarray
    shares: np.ndarray
    loc: np.ndarray
    factor: np.ndarray
    z_sd: np.ndarray
    x_sd: np.ndarray


def find_discriminant(
    values: np.ndarray, labels: np.ndarray, count: int, *, balanced: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Fit linear discriminants with a pooled covariance, whose correlations are shrunk to none.

    The intensity is Ledoit and Wolf's, for values in units of their spread within a class: of a
    few labels, the spread of a marker is known better than how it goes with the others.

    Args:
        values: ``[cell, marker]``, standardised.
        labels: ``[cell]``, from 0 to ``count - 1``.
        count: Number of classes, of which each has a cell.
        balanced: Whether the covariance is that of all classes in equal parts, so that a broad
            one with many labels does not speak for the others.

    Returns:
        Slope ``[marker, class]`` and intercept ``[class]``.

    References:
        Ledoit, Wolf (2004), A well-conditioned estimator for large-dimensional covariance
        matrices, Journal of Multivariate Analysis 88, doi:10.1016/S0047-259X(03)00096-4.
    """
    members = np.eye(count)[labels]
    sizes = members.sum(0)
    means = (members.T @ values) / sizes[:, None]
    rest = values - means[labels]
    weights = np.full(len(rest), 1 / len(rest))
    if balanced:
        # One cell has no spread.
        weights = (sizes > 1)[labels] / sizes[labels]
        weights = weights / weights.sum() if weights.any() else np.full(len(rest), 1 / len(rest))
    spread = np.sqrt(np.maximum(weights @ rest**2, 1e-12))
    rest = rest / spread
    covariance = (weights[:, None] * rest).T @ rest
    target = np.eye(len(spread))
    distance = ((covariance - target) ** 2).sum()
    # Of each cell's own product from the covariance.
    off = (rest**2).sum(1) ** 2 - 2 * ((rest @ covariance) * rest).sum(1) + (covariance**2).sum()
    intensity = min(max(weights**2 @ off / max(distance, 1e-12), 0.0), 1.0)
    shrunk = (1 - intensity) * covariance + intensity * target
    shrunk = spread[:, None] * shrunk * spread
    slope = np.linalg.solve(shrunk, means.T)
    return slope, np.log(sizes / len(rest)) - 0.5 * (means.T * slope).sum(0)


def split_clusters(values: np.ndarray, groups: np.ndarray, counts: np.ndarray, seed: int):
    """Split each group of cells into clusters by k-means, the best of four runs.

    Args:
        values: ``[cell, marker]``, standardised.
        groups: ``[cell]``, the group of each cell.
        counts: ``[group]``, number of clusters of each.
        seed: Of the runs.

    Returns:
        ``[cell]``, the cluster of each cell, and ``[cluster]``, the group of each cluster.
    """
    generator = np.random.default_rng(seed)
    clusters = np.zeros(len(values), int)
    owners: list[int] = []
    for group, count in enumerate(counts):
        cells = np.flatnonzero(groups == group)
        # A cluster of two cells has no covariance.
        count = max(1, min(int(count), len(cells) // 20))
        best, found = np.inf, np.zeros(len(cells), int)
        for _ in range(4 if count > 1 else 0):
            centres, places = kmeans2(values[cells], count, minit="++", rng=generator)
            loss = ((values[cells] - centres[places]) ** 2).sum()
            if loss < best and len(np.unique(places)) == count:
                best, found = loss, places
        clusters[cells] = found + len(owners)
        owners += [group] * count
    return clusters, np.array(owners)


def find_start(values: np.ndarray, clusters: np.ndarray, count: int, dim: int) -> Start:
    """Describe clusters by Gaussians on principal components.

    Args:
        values: ``[cell, marker]``, standardised.
        clusters: ``[cell]``, the cluster of each cell.
        count: Number of clusters; an empty one begins as broad as all cells.
        dim: Number of principal components.

    Returns:
        The start.
    """
    _, _, rows = np.linalg.svd(values, full_matrices=False)
    loadings = rows[:dim].T
    z = values @ loadings
    x_sd = np.maximum((values - z @ loadings.T).std(0), 0.2)
    broad = np.cov(z.T).reshape(dim, dim)
    loc, factor = np.zeros((count, dim)), np.zeros((count, dim, dim))
    for cluster in range(count):
        cells = z[clusters == cluster]
        # Ten cells' worth of a narrow Gaussian: a rare cluster has a covariance, too.
        scatter = 10 * 0.1 * broad
        if len(cells):
            loc[cluster] = cells.mean(0)
            scatter = scatter + (cells - loc[cluster]).T @ (cells - loc[cluster])
        factor[cluster] = np.linalg.cholesky(np.linalg.inv(scatter / (len(cells) + 10)))
    sizes = np.bincount(clusters, minlength=count) + 1.0
    # An empty cluster counts as one cell in the middle.
    padded = np.concatenate([values, np.zeros((count, values.shape[1]))])
    slope, intercept = find_discriminant(
        padded, np.concatenate([clusters, np.arange(count)]), count
    )
    # The posterior of z given x where x is z's loadings and noise of one size.
    z_sd = np.full(dim, float(np.sqrt(1 / (1 + (1 / x_sd**2).mean()))))
    return Start(loadings, slope, intercept, sizes / sizes.sum(), loc, factor, z_sd, x_sd)
