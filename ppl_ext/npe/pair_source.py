"""Where the pairs of a training come from: the model, or a simulator that is no program."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ppl_ext.npe.features import ObservedSite
from ppl_ext.simulation import BlackBox, Simulations, run_simulations

__all__ = ["PairSource", "RowSimulator"]

Values = Mapping[str, np.ndarray]

_TRIAL = 4  # simulations that show what a simulator gives


class RowSimulator(Protocol):
    """Draws of a model, as a room makes them: a row is the same at each call."""

    identity: dict[str, Any]

    def simulate(self, rows: np.ndarray) -> Mapping[str, Values]:
        """Simulate rows: ``{"latent": {site: array[row, ...]}, "observed": ...}``."""

    def draw_latent(self, first_row: int, size: int) -> Values:
        """The latent values of these rows alone."""


class PairSource:
    """Pairs of latent values and data.

    Args:
        of_model: Draws of the model; where there is a simulator, of all latent sites, for it may
            need values that are of no interest.
        latent: Sites of interest.
        simulator: ``(values, rng) -> {site: array} or array`` of one row; None for the model.
        vectorized: Whether the simulator takes all rows of a chunk at once.
        seed: Seed of the simulator.
    """

    def __init__(
        self,
        of_model: RowSimulator,
        latent: Sequence[str],
        simulator: Callable[..., Any] | None,
        vectorized: bool,
        seed: int,
    ) -> None:
        self._of_model, self._latent = of_model, list(latent)
        self._simulator, self._vectorized, self._seed = simulator, vectorized, seed

    def draw_latent(self, first_row: int, size: int) -> dict[str, np.ndarray]:
        """Latent values of interest of some rows, the same ones at each call."""
        drawn = self._of_model.draw_latent(first_row, size)
        return {name: drawn[name] for name in self._latent}

    def try_out(self) -> list[ObservedSite]:
        """The sites that a simulator gives, from a few rows."""
        observed = self.simulate(np.arange(_TRIAL), progress_bar=False).observed
        return [ObservedSite(name, data.shape[1:]) for name, data in observed.items()]

    def simulate(
        self,
        rows: np.ndarray,
        *,
        folder: str | os.PathLike[str] | None = None,
        num_jobs: int | None = 1,
        progress_bar: bool = True,
    ) -> Simulations:
        """Simulate some rows of the prior.

        Args:
            rows: Their numbers, ``[row]``.
            folder: Where the table is kept; in memory if None.
            num_jobs: Processes, as `run_simulations` takes them.
            progress_bar: Whether to draw a bar where there is a terminal.
        """
        simulate: Callable[[int, int], Any]
        if self._simulator is None:
            simulate = _Rows(self._of_model, rows)
        else:
            values = self._of_model.simulate(rows)["latent"]
            # Rows are counted from 0 there; those of a later call need noise of their own.
            simulate = BlackBox(
                _Table(values),
                self._simulator,
                seed=self._seed + int(rows[0]),
                vectorized=self._vectorized,
            )
        found = run_simulations(
            simulate, len(rows), folder=folder, num_jobs=num_jobs, progress_bar=progress_bar
        )
        latent = {name: found.latent[name] for name in self._latent}
        return Simulations(latent, found.observed, found.dropped, found.rows)


class _Rows:
    """Some rows of a model's simulations, counted from 0."""

    def __init__(self, simulator: RowSimulator, rows: np.ndarray) -> None:
        self._simulator, self._rows = simulator, rows
        self.identity = simulator.identity

    def __call__(self, first_row: int, size: int) -> Mapping[str, Values]:
        return self._simulator.simulate(self._rows[first_row : first_row + size])


class _Table:
    """Latent values that are known, so that a worker needs no model."""

    def __init__(self, values: Values) -> None:
        self._values = dict(values)

    def __call__(self, first_row: int, size: int) -> dict[str, np.ndarray]:
        return {name: x[first_row : first_row + size] for name, x in self._values.items()}
