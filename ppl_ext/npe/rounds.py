"""Where to simulate for one observation: the prior, cut off where its posterior has nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Region", "find_rows"]

_OUTSIDE = 1e-4  # share of the posterior that may lie outside of the region
_CHUNK = 4096
_MOST_TRIED = 5_000_000  # draws of the prior for one round


@dataclass(frozen=True, eq=False)
class Region:
    """The region of highest density of a network's posterior.

    Args:
        log_q: ``z[draw, dim] -> [draw]``, log density of the posterior.
        threshold: Its least value inside.

    Example:
        >>> draws = np.random.default_rng(0).normal(size=(10_000, 1))
        >>> region = Region.around(lambda z: -0.5 * (z**2).sum(-1), draws)
        >>> region.holds(np.array([[0.0], [6.0]])).tolist()
        [True, False]

    References:
        Deistler, Goncalves, Macke (2022), Truncated proposals for scalable and hassle-free
        simulation-based inference, NeurIPS, arXiv:2210.04815.
    """

    log_q: Callable[[np.ndarray], np.ndarray]
    threshold: float

    @classmethod
    def around(cls, log_q: Callable[[np.ndarray], np.ndarray], draws: np.ndarray) -> Region:
        """The region that holds all but one in ten thousand of the draws.

        Args:
            log_q: Log density of the posterior.
            draws: Its draws, ``[draw, dim]``.
        """
        return cls(log_q, float(np.quantile(log_q(draws), _OUTSIDE)))

    def holds(self, z: np.ndarray) -> np.ndarray:
        """Whether points ``[draw, dim]`` lie inside."""
        inside: np.ndarray = self.log_q(z) >= self.threshold
        return inside


def find_rows(
    draw_prior: Callable[[int, int], np.ndarray], region: Region, first_row: int, count: int
) -> tuple[np.ndarray, int]:
    """Rows of the prior that lie inside of a region.

    The prior cut off there is the prior up to a constant, so that a network learns from these
    rows the same posterior as from all of them.

    Args:
        draw_prior: ``(first_row, size) -> z[row, dim]``, the same rows at each call.
        region: The region.
        first_row: The first row that may be taken.
        count: How many are wanted.

    Returns:
        The rows, in order and perhaps fewer, and one past the last that was tried.

    Example:
        >>> def draw_prior(first_row, size):
        ...     return np.random.default_rng(first_row).normal(size=(size, 1))
        >>> region = Region(lambda z: -np.abs(z[:, 0]), -0.5)
        >>> rows, tried = find_rows(draw_prior, region, 0, 100)
        >>> len(rows), tried
        (100, 4096)
    """
    found: list[np.ndarray] = []
    row, have = first_row, 0
    while have < count and row - first_row < _MOST_TRIED:
        inside = np.flatnonzero(region.holds(draw_prior(row, _CHUNK)))
        found.append(row + inside)
        row, have = row + _CHUNK, have + len(inside)
    return np.concatenate(found)[:count], row
