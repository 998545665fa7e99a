"""Simulators that are no probabilistic programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

__all__ = ["BlackBox", "make_row_generator"]

# What a simulator raises where its values lead nowhere. Anything else is a mistake in its code.
_FAILURES = (ArithmeticError, ValueError, RuntimeError)
_LONGEST_MESSAGE = 200
_NOISE = 1  # the stream of the simulators; priors have 0


@dataclass(frozen=True, eq=False)
class BlackBox:
    """A simulator that is any function, for `run_simulations`.

    Row by row, each with a generator of its own, so that a row is the same in whatever chunk and
    process it is simulated. A row whose simulation raises ``ArithmeticError``, ``ValueError`` or
    ``RuntimeError`` is counted with the error and left out; other errors end the run.

    A simulator that takes arrays of rows is called once a chunk, which is faster, with
    ``vectorized=True``. Its one generator is that of the chunk, so that the chunk size then
    matters, and an error counts for all rows of the chunk.

    Not for a probabilistic program, which is its own simulator.

    Args:
        prior: ``(first_row, size) -> {site: array[row, ...]}``, the latent values of some rows,
            the same ones at each call.
        simulator: ``(values, rng) -> {site: array}``, or one array. Values are those of one row,
            ``{site: array[...]}``, copies that it may change. Whole numbers become floats.
        seed: Of the generators.
        vectorized: Whether values and results have a leading axis of rows.
        observed: Name of the site where the simulator returns one array.

    Raises:
        ValueError: The seed is no whole number from 0 on.
        TypeError: The prior or the simulator cannot be called.

    Example:
        >>> def prior(first_row, size):
        ...     rows = range(first_row, first_row + size)
        ...     return {"rate": np.array([make_row_generator(0, row).gamma(2.0) for row in rows])}
        >>> def count(values, rng):
        ...     return rng.poisson(values["rate"], size=3)
        >>> from ppl_ext.simulation import run_simulations
        >>> simulations = run_simulations(BlackBox(prior, count, observed="y"), 20)
        >>> simulations.observed["y"].shape
        (20, 3)
    """

    prior: Callable[[int, int], Mapping[str, Any]]
    simulator: Callable[[dict[str, Any], np.random.Generator], Any]
    seed: int = 0
    vectorized: bool = False
    observed: str = "x"

    def __post_init__(self) -> None:
        _check_seed("BlackBox", self.seed)
        for name in ("prior", "simulator"):
            if not callable(getattr(self, name)):
                raise TypeError(
                    f"BlackBox: {name} is a {type(getattr(self, name)).__name__}; expected a "
                    "function. Write BlackBox(prior, simulator)."
                )

    @property
    def identity(self) -> dict[str, Any]:
        """What a folder of simulations keeps to tell one table from another."""
        return {"seed": int(self.seed), "vectorized": self.vectorized}

    def __call__(self, first_row: int, size: int) -> dict[str, dict[Any, Any]]:
        """Simulate some rows.

        Args:
            first_row: Number of the first one.
            size: How many.

        Returns:
            ``{"latent": ..., "observed": ..., "failed": {row of the chunk: (kind, message)}}``;
            failed rows are NaN.

        Raises:
            ValueError: A row has another shape or type than the first one.
            TypeError: A row is not made of real numbers.
        """
        latent = {name: np.asarray(values) for name, values in self.prior(first_row, size).items()}
        for name, values in latent.items():
            if values.shape[:1] != (size,):
                raise ValueError(
                    f"BlackBox: prior({first_row}, {size}) gave site '{name}' of shape "
                    f"{values.shape}; expected {size} rows, as asked for. Let the first axis "
                    "count simulations."
                )
        if self.vectorized:
            copies = {name: array.copy() for name, array in latent.items()}
            outcome = self._simulate(copies, first_row)
            if isinstance(outcome, tuple):
                failed = dict.fromkeys(range(size), outcome)
                return {"latent": latent, "observed": {}, "failed": failed}
            return {"latent": latent, "observed": outcome}
        return {"latent": latent, **self._simulate_rows(latent, first_row, size)}

    def _simulate_rows(
        self, latent: Mapping[str, np.ndarray], first_row: int, size: int
    ) -> dict[str, dict[Any, Any]]:
        observed: dict[str, np.ndarray] = {}
        failed: dict[int, tuple[str, str]] = {}
        shaping = 0  # the row that has set the shapes
        for offset in range(size):
            row = first_row + offset
            values = {name: array[offset].copy() for name, array in latent.items()}
            outcome = self._simulate(values, row)
            if isinstance(outcome, tuple):
                failed[offset] = outcome
                continue
            if not observed:
                shaping = row
                observed = {
                    name: np.full((size, *value.shape), np.nan, value.dtype)
                    for name, value in outcome.items()
                }
            found = {name: f"{value.dtype}{list(value.shape)}" for name, value in outcome.items()}
            expected = {
                name: f"{array.dtype}{list(array.shape[1:])}" for name, array in observed.items()
            }
            if found != expected:
                raise ValueError(
                    f"BlackBox: row {row} is {found}, and row {shaping} {expected}; expected the "
                    "same in all rows. Pad or summarise what varies in length."
                )
            for name, value in outcome.items():
                observed[name][offset] = value
        return {"observed": observed, "failed": failed}

    def _simulate(
        self, values: dict[str, Any], row: int
    ) -> dict[str, np.ndarray] | tuple[str, str]:
        """The arrays of a row, or why there are none."""
        try:
            output = self.simulator(values, make_row_generator(self.seed, row, stream=_NOISE))
        except _FAILURES as error:
            return type(error).__name__, " ".join(str(error).split())[:_LONGEST_MESSAGE]
        except (TypeError, LookupError, AttributeError, NameError) as error:
            error.add_note(f"BlackBox: this was row {row}.")
            raise
        named = output if isinstance(output, Mapping) else {self.observed: output}
        arrays = {name: np.asarray(value) for name, value in named.items()}
        for name, array in arrays.items():
            if array.dtype.kind not in "biuf":
                raise TypeError(
                    f"BlackBox: site '{name}' of row {row} is of type {array.dtype}; expected "
                    "real numbers. Return arrays of numbers, all rows of the same shape."
                )
        # One row of whole numbers does not say that the next is none.
        return {
            name: array if array.dtype.kind == "f" else array.astype(float)
            for name, array in arrays.items()
        }


def make_row_generator(seed: int, row: int, *, stream: int = 0) -> np.random.Generator:
    """The generator of one row, whatever rows are simulated beside it.

    Args:
        seed: A whole number from 0 on.
        row: Number of the row.
        stream: Number of what it is for; `BlackBox` gives its simulator stream 1, so that a prior
            that takes stream 0 is independent of it.

    Returns:
        The generator.

    Raises:
        ValueError: The seed is something else.

    Example:
        >>> make_row_generator(0, 7).normal() == make_row_generator(0, 7).normal()
        True
    """
    _check_seed("make_row_generator", seed)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, row)))


def _check_seed(called: str, seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(
            f"{called}: seed = {seed!r}; expected a whole number from 0 on, such as seed=0."
        )
