"""Simulations by the thousand."""

from __future__ import annotations

import contextlib
import os
from numbers import Integral
from pathlib import Path
from typing import Any

from ppl_ext.fitting.calls import check_count
from ppl_ext.fitting.loop import open_bar
from ppl_ext.simulation.chunks import Simulate
from ppl_ext.simulation.engine import run_chunks
from ppl_ext.simulation.folder_table import FolderTable
from ppl_ext.simulation.memory_table import MemoryTable
from ppl_ext.simulation.reading import check_rows, read_table
from ppl_ext.simulation.resumption import (
    choose_chunk_size,
    hold_folder,
    prepare_folder,
    refuse_other_rows,
)
from ppl_ext.simulation.simulations import Simulations

__all__ = ["run_simulations"]


def run_simulations(
    simulate: Simulate,
    num_simulations: int,
    *,
    chunk_size: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    num_jobs: int | None = 1,
    progress_bar: bool = True,
) -> Simulations:
    """Run a simulator and collect its pairs of latent and observed values.

    The pairs are the same for any number of jobs and wherever joblib runs them. Rows that fail or
    are not finite are left out and counted: ``print(simulations)``.

    Args:
        simulate: ``(first_row, size) -> {"latent": {site: array[row, ...]}, "observed": {...}}``,
            such as a `BlackBox`. The same rows give the same values at each call. An optional
            ``"failed": {row of the chunk: (kind, message)}`` tells rows without values, and an
            optional attribute ``identity``, a dictionary of JSON values such as its seed, tells a
            folder of one simulator from that of another.
        num_simulations: How many.
        chunk_size: Rows of a call, what a worker does at once and a folder gains at once; half a
            second's work or more. None makes some 64 chunks, of a thousand rows at most.
        folder: Where the table is kept: a new folder, or one of the same simulator, which is gone
            on with and extended, after Ctrl-C, a crash or ``kill -9`` too. To tell whether it is
            the same, one chunk is simulated again. None keeps the table in memory.
        num_jobs: Processes, by joblib, with one thread each; -1 for one on each core. None leaves
            it to ``joblib.parallel_config``, and so to Dask or Ray. 1 needs no joblib.
        progress_bar: Whether to draw a bar where there is a terminal.

    Returns:
        The simulations, memory-mapped where there is a folder.

    Raises:
        ValueError: A number is wrong, rows differ in shape, all fail, or the folder holds
            something else.
        TypeError: The simulator does not return numbers.
        ModuleNotFoundError: joblib is needed and not installed.
        RuntimeError: Another process simulates into the folder.

    Example:
        >>> def simulate(first_row, size):
        ...     mu = np.linspace(-1, 1, 1000)[first_row : first_row + size]
        ...     with np.errstate(invalid="ignore"):
        ...         return {"latent": {"mu": mu}, "observed": {"y": np.sqrt(mu)}}
        >>> import numpy as np
        >>> simulations = run_simulations(simulate, 1000)
        >>> print(simulations)
        500 simulations of 'mu' and 'y'; 500 of 1,000 rows dropped: 500 'y' is not finite.
    """
    _check_call(simulate, num_simulations, chunk_size, num_jobs)
    if folder is None:
        table = MemoryTable(num_simulations, chunk_size or choose_chunk_size(num_simulations))
        _fill(table, simulate, num_simulations, num_jobs, progress_bar)
        return table.read()
    path = Path(folder)
    with hold_folder(path):
        identity = getattr(simulate, "identity", {})
        manifest = prepare_folder(path, num_simulations, chunk_size, identity)
        if manifest.complete:
            check_rows("run_simulations", path, manifest)
            done = [manifest.chunks[number] for number in manifest.complete]
            smallest = min(done, key=lambda chunk: (chunk[1], chunk[0]))
            for fresh in run_chunks(simulate, [smallest], num_jobs):
                refuse_other_rows(path, manifest, fresh)
        with FolderTable(path, manifest) as folder_table:
            _fill(folder_table, simulate, num_simulations, num_jobs, progress_bar)
        return read_table("run_simulations", path)


def _fill(
    table: MemoryTable | FolderTable,
    simulate: Simulate,
    num_simulations: int,
    num_jobs: int | None,
    progress_bar: bool,
) -> None:
    missing = table.missing
    done = num_simulations - sum(size for _, size in missing)
    with (
        open_bar(num_simulations, progress_bar, "simulate", unit=" simulations") as bar,
        contextlib.closing(run_chunks(simulate, missing, num_jobs)) as chunks,
    ):
        bar.update(done)
        for chunk in chunks:
            table.write(chunk)
            bar.update(chunk.size)


def _check_call(simulate: Any, num_simulations: Any, chunk_size: Any, num_jobs: Any) -> None:
    if not callable(simulate):
        raise TypeError(
            f"run_simulations: simulate is a {type(simulate).__name__}; expected a function of "
            "first_row and size, such as BlackBox(prior, simulator)."
        )
    check_count("run_simulations", "num_simulations", num_simulations, "num_simulations=1000")
    if chunk_size is not None:
        check_count("run_simulations", "chunk_size", chunk_size, "chunk_size=100")
    whole = not isinstance(num_jobs, bool) and isinstance(num_jobs, Integral) and num_jobs != 0
    if num_jobs is not None and not whole:
        raise ValueError(
            f"run_simulations: num_jobs = {num_jobs!r}; expected a number of processes, -1 for "
            "one on each core, or None for joblib's configuration, such as num_jobs=4."
        )
