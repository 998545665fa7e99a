"""What one call of a simulator returns, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl_ext.simulation.array_checks import NOT_FINITE, check_numbers

__all__ = ["GROUPS", "Chunk", "Layout", "Simulate", "check_layout", "plan_chunks", "run_chunk"]

GROUPS = ("latent", "observed")
Simulate = Callable[[int, int], Mapping[str, Mapping[Any, Any]]]
# {"latent" or "observed": {site: (shape of a row, type)}}
Layout = dict[str, dict[str, tuple[tuple[int, ...], np.dtype[Any]]]]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows of a table of simulations.

    Args:
        first_row: Number of the first of them.
        size: How many.
        arrays: ``{"latent" or "observed": {site: array[row, ...]}}``; empty where all failed.
        failed: ``{row of the chunk: (kind, message)}``.

    Example:
        >>> Chunk(0, 1, {}, {0: ("ValueError", "negative rate")}).layout is None
        True
    """

    first_row: int
    size: int
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    failed: Mapping[int, tuple[str, str]]

    @property
    def layout(self) -> Layout | None:
        """Shapes and types of a row; None where all failed."""
        if not self.arrays:
            return None
        return {
            group: {name: (array.shape[1:], array.dtype) for name, array in sites.items()}
            for group, sites in self.arrays.items()
        }


def plan_chunks(first_row: int, num_rows: int, chunk_size: int) -> list[tuple[int, int]]:
    """Split rows into chunks.

    Args:
        first_row: Number of the first row.
        num_rows: Number of the row after the last one.
        chunk_size: Most rows of a chunk.

    Returns:
        First row and size of each.

    Example:
        >>> plan_chunks(0, 5, 2)
        [(0, 2), (2, 2), (4, 1)]
    """
    return [
        (start, min(chunk_size, num_rows - start))
        for start in range(first_row, num_rows, chunk_size)
    ]


def run_chunk(simulate: Simulate, first_row: int, size: int) -> Chunk:
    """Call a simulator and check what it returns.

    Args:
        simulate: The simulator.
        first_row: Number of the first row.
        size: How many rows.

    Returns:
        The rows; those with values that are not finite are among the failed ones.

    Raises:
        TypeError: It is no dictionary of dictionaries of numbers.
        ValueError: A site has another number of rows, or there is no site.

    Example:
        >>> def simulate(first_row, size):
        ...     mu = np.arange(first_row, first_row + size)
        ...     return {"latent": {"mu": mu}, "observed": {"y": np.log(mu - 5.0)}}
        >>> with np.errstate(all="ignore"):
        ...     run_chunk(simulate, 4, 3).failed
        {0: ("'y' is not finite", ''), 1: ("'y' is not finite", '')}
    """
    where = f"run_simulations: rows {first_row} to {first_row + size - 1}"
    returned = simulate(first_row, size)
    if not (
        isinstance(returned, Mapping)
        and all(isinstance(returned.get(group), Mapping) for group in GROUPS)
    ):
        found = list(returned) if isinstance(returned, Mapping) else type(returned).__name__
        raise TypeError(
            f"{where}: the simulator returned {found}; expected two dictionaries of arrays. "
            'Return {"latent": {"mu": mu}, "observed": {"y": y}}.'
        )
    failed = {int(row): reason for row, reason in returned.get("failed", {}).items()}
    if len(failed) == size:
        return Chunk(first_row, size, {}, failed)
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for group in GROUPS:
        if not returned[group]:
            raise ValueError(
                f"{where}: the simulator returned no {group} site; expected at least one. Return "
                '{"latent": {"mu": mu}, "observed": {"y": y}}.'
            )
        arrays[group] = {}
        for name, values in returned[group].items():
            array = check_numbers(where, name, values)
            if len(array) != size:
                raise ValueError(
                    f"{where}: site '{name}' has {len(array)} rows; expected {size}, as asked "
                    "for. Let the first axis count simulations."
                )
            finite = np.isfinite(array.reshape(size, -1)).all(axis=1)
            for row in np.flatnonzero(~finite).tolist():
                failed.setdefault(row, (NOT_FINITE.format(name), ""))
            arrays[group][name] = array
    if len(failed) == size:
        arrays = {}
    return Chunk(first_row, size, arrays, failed)


def check_layout(expected: Layout, chunk: Chunk, whose: str) -> None:
    """Refuse a chunk of other sites, shapes or types.

    Args:
        expected: The layout.
        chunk: The chunk; one of which all rows failed fits everywhere.
        whose: Where the layout is from, for the messages.

    Raises:
        ValueError: It differs.

    Example:
        >>> layout = {"latent": {"mu": ((), np.dtype(float))}, "observed": {}}
        >>> check_layout(layout, Chunk(7, 1, {}, {0: ("ValueError", "")}), "row 0")
    """
    found = chunk.layout
    if found is None:
        return
    for group, sites in expected.items():
        if list(sites) != list(found[group]):
            raise ValueError(
                f"run_simulations: row {chunk.first_row} has the {group} sites "
                f"{list(found[group])}, and {whose} {list(sites)}; expected the same in all rows. "
                "Return the same names in the same order each time."
            )
        for name, (shape, dtype) in sites.items():
            found_shape, found_dtype = found[group][name]
            if found_shape != shape:
                raise ValueError(
                    f"run_simulations: site '{name}' has shape {found_shape} in row "
                    f"{chunk.first_row}, and {shape} in {whose}; expected one shape. Pad or "
                    "summarise what varies in length."
                )
            if found_dtype != dtype:
                raise ValueError(
                    f"run_simulations: site '{name}' is of type {found_dtype} in row "
                    f"{chunk.first_row}, and {dtype} in {whose}; expected one type. Return "
                    "x.astype(float) each time."
                )
