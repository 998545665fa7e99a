"""Distances between observations and simulations, in the coordinates of the simulations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Frame", "compare_samples", "find_frame"]

_NEIGHBOURS = 5
_HEAVY = 6.0  # robust deviation of the 99.5 % quantile; 2.8 for a normal, 5.2 for a Laplace law
_MOST_POINTS = 1000  # of either sample in the discrepancy


@dataclass(frozen=True, eq=False)
class Frame:
    """Coordinates in which simulations are about standard normal.

    Args:
        center: ``[column]``, medians.
        scale: ``[column]``, from the median absolute deviations; 0 where a column is constant.
        heavy: ``[column]``, whether a column is taken by its inverse hyperbolic sine.
        precision: ``[column, column]``, inverse of the shrunk covariance of the deviations.
        points: ``[simulation, column]``, the simulations themselves in these coordinates.

    Example:
        >>> frame = find_frame(np.random.default_rng(0).normal(size=(500, 2)))
        >>> frame.measure_mahalanobis(np.array([[3.0, 4.0]])).round().tolist()
        [5.0]
    """

    center: np.ndarray
    scale: np.ndarray
    heavy: np.ndarray
    precision: np.ndarray
    points: np.ndarray

    def standardise(self, rows: np.ndarray) -> np.ndarray:
        """Robust deviations, column by column.

        Args:
            rows: ``[row, column]``.

        Returns:
            ``[row, column]``; 0 or infinite where the simulations are constant.
        """
        shifted = rows - self.center
        constant = self.scale == 0
        scaled = shifted / np.where(constant, 1.0, self.scale)
        scaled = np.where(self.heavy, np.arcsinh(scaled), scaled)
        beyond: np.ndarray = np.where(constant & (shifted != 0), np.inf, scaled)
        return beyond

    def whiten(self, rows: np.ndarray) -> np.ndarray:
        """Turn rows into coordinates without correlation.

        Args:
            rows: ``[row, column]``.

        Returns:
            ``[row, column]``.
        """
        deviations = self.standardise(rows)
        whitened: np.ndarray = np.where(np.isinf(deviations), 0.0, deviations) @ (
            np.linalg.cholesky(self.precision)
        )
        # Off a constant column every row is at an infinite distance.
        return np.where(np.isinf(deviations).any(1, keepdims=True), np.inf, whitened)

    def measure_mahalanobis(self, rows: np.ndarray) -> np.ndarray:
        """Distance from the centre in the directions and scales of the simulations.

        Args:
            rows: ``[row, column]``.

        Returns:
            ``[row]``.
        """
        distances: np.ndarray = np.linalg.norm(self.whiten(rows), axis=1)
        return distances

    def measure_neighbours(self, rows: np.ndarray) -> np.ndarray:
        """Mean distance to the nearest simulations: of holes and bends, which no ellipse has.

        Args:
            rows: ``[row, column]``.

        Returns:
            ``[row]``.
        """
        from scipy.spatial.distance import cdist

        whitened = self.whiten(rows)
        known = np.isfinite(whitened).all(1)
        found = np.full(len(rows), np.inf)
        apart = np.partition(cdist(whitened[known], self.points), _NEIGHBOURS - 1, axis=1)
        found[known] = apart[:, :_NEIGHBOURS].mean(1)
        return found

    def measure_given_others(self, rows: np.ndarray) -> np.ndarray:
        """Deviation of every column from what the others say of it.

        Args:
            rows: ``[row, column]``.

        Returns:
            ``[row, column]``, in standard deviations given the others.
        """
        deviations = self.standardise(rows)
        deviations = np.where(np.isinf(deviations), 0.0, deviations)
        given: np.ndarray = deviations @ self.precision / np.sqrt(np.diag(self.precision))
        return given

    def expect(self, row: np.ndarray, column: int) -> float:
        """What the other columns of a row say of one.

        Args:
            row: ``[column]``.
            column: Which.

        Returns:
            The value that is expected, in the units of the column.
        """
        deviations = np.where(self.scale > 0, self.standardise(row[None])[0], 0.0)
        against = self.precision[column]
        expected = deviations[column] - against @ deviations / against[column]
        if self.heavy[column]:
            expected = np.sinh(expected)
        return float(self.center[column] + self.scale[column] * expected)


def find_frame(simulated: np.ndarray) -> Frame:
    """Find the coordinates of simulations, with outliers among them and more columns than rows.

    Args:
        simulated: ``[simulation, column]``.

    Returns:
        The coordinates.

    Example:
        >>> find_frame(np.eye(4)[:, :1]).scale.round(2).tolist()
        [0.43]

    References:
        Ledoit, Wolf (2004), A well-conditioned estimator for large-dimensional covariance
        matrices, Journal of Multivariate Analysis 88(2).
    """
    center = np.median(simulated, axis=0)
    away = np.abs(simulated - center)
    # Where most values are equal the median deviation is 0 and says nothing.
    scale = 1.4826 * np.median(away, axis=0)
    scale = np.where(scale > 0, scale, simulated.std(0))
    heavy = np.quantile(away, 0.995, axis=0) > _HEAVY * scale
    width = simulated.shape[1]
    frame = Frame(center, scale, heavy, np.eye(width), np.empty((0, width)))
    deviations = np.clip(frame.standardise(simulated), -_HEAVY, _HEAVY)
    count = len(deviations)
    covariance = deviations.T @ deviations / count
    size = np.trace(covariance) / width or 1.0
    spread = np.sum((covariance - size * np.eye(width)) ** 2)
    error = np.sum(np.sum(deviations**2, axis=1) ** 2) / count - np.sum(covariance**2)
    share = min(1.0, error / count / spread) if spread > 0 else 1.0
    shrunk = (1 - share) * covariance + share * size * np.eye(width)
    # Constant columns are told apart beforehand; here they only must not make it singular.
    shrunk[np.diag_indices(width)] += np.where(scale == 0, size, 1e-9 * size)
    frame = Frame(center, scale, heavy, np.linalg.inv(shrunk), frame.points)
    return Frame(center, scale, heavy, frame.precision, frame.whiten(simulated))


def compare_samples(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator, num_trials: int = 999
) -> float:
    """Test whether two samples come from one law: maximum mean discrepancy, exchanged rows.

    Args:
        a: ``[row, column]``.
        b: ``[row, column]``.
        rng: Generator of the exchanges.
        num_trials: How many.

    Returns:
        The p-value.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> compare_samples(rng.normal(size=(90, 2)), rng.normal(2, 1, size=(20, 2)), rng)
        0.001

    References:
        Gretton, Borgwardt, Rasch, Schölkopf, Smola (2012), A kernel two-sample test, JMLR 13.
    """
    from scipy.spatial.distance import pdist, squareform

    a, b = (rng.permutation(each)[:_MOST_POINTS] for each in (a, b))
    squared = pdist(np.concatenate([a, b]), "sqeuclidean")
    kernel = np.exp(-squareform(squared) / (np.median(squared) or 1.0))
    signs = np.repeat([1 / len(a), -1 / len(b)], [len(a), len(b)])
    exchanged = rng.permuted(np.tile(signs, (num_trials, 1)), axis=1)
    every = np.vstack([signs, exchanged])
    discrepancies = np.sum((every @ kernel) * every, axis=1)
    # Equal rows give equal discrepancies, up to rounding.
    as_large = discrepancies[1:] >= discrepancies[0] * (1 - 1e-9)
    return float(1 + as_large.sum()) / (1 + num_trials)
