"""Rows solved from sums over their ratings, wherever these sums come from.

The compiled updates add up the ratings of a row and solve it in one go. Here the two are apart,
for sums that are kept (of a stream) and priors that differ from row to row (of an update).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ppl_ext.factorization.model.side_posterior import Side, unpack

__all__ = ["RatingSums", "add_ratings", "solve_rows"]

# Rows solved at once, and columns of the table that are added up at once.
_PIECE = 512


@dataclass(frozen=True, eq=False)
class RatingSums:
    """Sums of the other side's expectations over the ratings of each row.

    Args:
        table: ``[row, packed]``, of ``E[a] E[w w']``.
        plain: ``[row, dim + 1]``, of ``E[a] (E[w], 1)``.
        rated: ``[row, dim + 1]``, of the same times the rating.
        squares: ``[row]``, of ``E[a]`` times the square of the rating.
    """

    table: np.ndarray
    plain: np.ndarray
    rated: np.ndarray
    squares: np.ndarray

    def take(self, rows: np.ndarray | slice, scale: np.ndarray | float = 1.0) -> RatingSums:
        """Some rows, each times a number."""
        factor = np.reshape(scale, (-1, 1))
        return RatingSums(
            self.table[rows] * factor,
            self.plain[rows] * factor,
            self.rated[rows] * factor,
            self.squares[rows] * factor[:, 0],
        )

    def add(self, rows: np.ndarray | slice, more: RatingSums, scale: float = 1.0) -> None:
        """Add to some rows, in place."""
        self.table[rows] += scale * more.table
        self.plain[rows] += scale * more.plain
        self.rated[rows] += scale * more.rated
        self.squares[rows] += scale * more.squares

    def design(self, bias: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Second moment of what multiplies w, its product with the ratings, and their squares.

        Args:
            bias: True where the last element of w is a bias.

        Returns:
            ``[row, dim, dim]``, ``[row, dim]`` and ``[row]``.
        """
        dim = self.plain.shape[1] - 1
        second = unpack(self.table, dim)
        linear, squares = self.rated[:, :dim].copy(), self.squares.copy()
        if bias:
            # The other side's bias is no part of the design but an offset of the rating.
            k = dim - 1
            squares += second[:, k, k] - 2 * self.rated[:, k]
            linear[:, :k] -= second[:, k, :k]
            linear[:, k] = self.rated[:, dim] - self.plain[:, k]
            second[:, k, :k] = second[:, :k, k] = self.plain[:, :k]
            second[:, k, k] = self.plain[:, dim]
        return second, linear, squares


def add_ratings(
    other: Side, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, count: int
) -> RatingSums:
    """Add up the other side over ratings.

    Args:
        other: The other side.
        rows: ``[rating]``, rows, from 0 to ``count``.
        columns: ``[rating]``, rows of the other side.
        values: ``[rating]``, ratings less the constant of the model.
        count: Number of rows.

    Returns:
        The sums.
    """
    shape = (count, len(other))
    rated = sparse.csr_array((values.astype(np.float64), (rows, columns)), shape=shape)
    once = sparse.csr_array((np.ones(len(values)), (rows, columns)), shape=shape)
    summary = other.summary.astype(np.float64)
    # Tile by tile, so that the table is never held in double precision as a whole.
    table = np.concatenate([once @ tile.astype(np.float64) for tile in other.table], axis=1)
    packed = other.dim * (other.dim + 1) // 2
    squares = sparse.csr_array((values.astype(np.float64) ** 2, (rows, columns)), shape=shape)
    return RatingSums(table[:, :packed], once @ summary, rated @ summary, squares @ summary[:, -1])


def solve_rows(
    sums: RatingSums,
    scale: np.ndarray,
    precision: np.ndarray,
    pull: np.ndarray,
    *,
    bias: bool,
    diagonal: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Solve rows from sums over their ratings.

    Args:
        sums: The sums.
        scale: ``[row]``, precision of the noise of each row.
        precision: ``[row, dim, dim]``, of the prior; one matrix where all share it.
        pull: ``[row, dim]``, precision times mean of the prior; or one for all.
        bias: True where the last element of w is a bias.
        diagonal: True for diagonal covariances.

    Returns:
        Means ``[row, dim]``, covariances ``[row, dim, dim]``, expected squared errors ``[row]``,
        weighted by the other side alone, and log determinants of the precisions ``[row]``.
    """
    found = []
    for begin in range(0, len(scale), _PIECE):
        piece = slice(begin, begin + _PIECE)
        second, linear, squares = sums.take(piece).design(bias)
        tau = scale[piece, None]
        own = precision[piece] if precision.ndim == 3 else precision
        full = tau[..., None] * second + own
        right = tau * linear + (pull[piece] if pull.ndim == 2 else pull)
        means = np.linalg.solve(full, right[..., None])[..., 0]
        if diagonal:
            own_precisions = np.diagonal(full, axis1=1, axis2=2)
            log_dets = np.log(own_precisions).sum(axis=1)
            covariances = np.eye(means.shape[1]) / own_precisions[:, None, :]
        else:
            log_dets = np.linalg.slogdet(full)[1]
            covariances = np.linalg.inv(full)
            covariances = (covariances + covariances.transpose(0, 2, 1)) / 2
        moments = covariances + means[:, :, None] * means[:, None, :]
        errors = squares - 2 * np.sum(means * linear, axis=1) + np.sum(moments * second, (1, 2))
        found.append((means, covariances, np.maximum(errors, 0.0), log_dets))
    means, covariances, errors, log_dets = map(np.concatenate, zip(*found, strict=True))
    return means, covariances, errors, log_dets
