"""Learning in rounds for one observation: the prior, cut off where its posterior has nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from ppl_ext.npe.answers.amortized import Amortized
from ppl_ext.npe.pair_source import PairSource
from ppl_ext.npe.preparation import Pull
from ppl_ext.simulation import Simulations

__all__ = ["Region", "find_rows", "learn_in_rounds"]

_OUTSIDE = 1e-4  # share of the posterior that may lie outside of the region
_CHUNK = 4096
_MOST_TRIED = 5_000_000  # draws of the prior for one round
_REGION_DRAWS = 20_000


class _Trained(Protocol):
    """A trained network of a room."""

    @property
    def amortized(self) -> Amortized:
        """Its posterior of any observation."""


Trained = TypeVar("Trained", bound=_Trained)


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


def learn_in_rounds(
    source: PairSource,
    pull: Pull,
    observed: Mapping[str, np.ndarray],
    learn: Callable[[int, Simulations], Trained],
    num_simulations: int,
    num_rounds: int,
    seed: int,
    *,
    progress_bar: bool = True,
) -> Trained:
    """Simulate and learn in turn, each time only where the posterior before has mass.

    Args:
        source: Where the pairs come from.
        pull: ``{site: values[simulation, ...]} -> z[simulation, dim]``, to latent coordinates.
        observed: The observation, ``{site: array[1, ...]}``.
        learn: ``(number of the round, pairs) -> trained network``.
        num_simulations: Pairs to draw in all rounds.
        num_rounds: Number of rounds.
        seed: Seed of the draws that tell where the posterior has mass.
        progress_bar: Whether to draw bars.

    Returns:
        The network of the last round.

    References:
        Deistler, Goncalves, Macke (2022), Truncated proposals for scalable and hassle-free
        simulation-based inference, NeurIPS, arXiv:2210.04815.
    """
    first, *later = (len(part) for part in np.array_split(np.arange(num_simulations), num_rounds))
    known, tried = source.simulate(np.arange(first), progress_bar=progress_bar), first
    trained = learn(0, known)
    for number, count in enumerate(later, 1):
        region = _find_region(trained.amortized, observed, seed + number)
        rows, tried = find_rows(
            lambda row, size: pull(source.draw_latent(row, size)), region, tried, count
        )
        more = source.simulate(rows, progress_bar=progress_bar)
        inside = np.flatnonzero(region.holds(pull(known.take(slice(None)).latent)))
        known = known.take(inside).join(more)
        trained = learn(number, known)
    return trained


def _find_region(amortized: Amortized, observed: Mapping[str, np.ndarray], seed: int) -> Region:
    draws = amortized.sample(observed, _REGION_DRAWS, seed)[0]
    return Region.around(lambda z: amortized.log_q(z[None], observed)[0], draws)
