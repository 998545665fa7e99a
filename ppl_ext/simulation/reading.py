"""Tables on disk, mapped into memory."""

import os
from pathlib import Path

import numpy as np

from ppl_ext.simulation.array_checks import refuse_all_failed
from ppl_ext.simulation.array_files import map_array_file, sum_rows
from ppl_ext.simulation.ledger import PENDING, SOUND, Ledger
from ppl_ext.simulation.manifest import ROWS, Manifest, name_file, read_manifest
from ppl_ext.simulation.simulations import Simulations

__all__ = ["check_rows", "map_table", "open_simulations", "read_ledger", "read_table"]


def open_simulations(folder: str | os.PathLike[str], *, check: bool = True) -> Simulations:
    """Read the simulations that `run_simulations` has put into a folder.

    Arrays are mapped into memory and read where they are used. Nothing in the folder is executed.
    Of a run that has not ended, the chunks that are complete.

    Args:
        folder: The folder.
        check: Whether to read all rows once and compare their checksums; False to begin at once
            with a table of many gigabytes that was checked before.

    Returns:
        The simulations; their ``rows`` tell the sound ones.

    Raises:
        FileNotFoundError: The folder holds no simulations.
        ValueError: A file is damaged, or there is no sound row.

    Example:
        >>> import tempfile
        >>> from ppl_ext.simulation import run_simulations
        >>> def simulate(first_row, size):
        ...     mu = np.arange(first_row, first_row + size)
        ...     return {"latent": {"mu": mu}, "observed": {"y": 2 * mu}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = run_simulations(simulate, 100, folder=folder)
        ...     open_simulations(folder).take([7]).observed["y"].tolist()
        [14]
    """
    called, path = "open_simulations", Path(folder)
    if check:
        check_rows(called, path, read_manifest(called, path))
    return read_table(called, path)


def read_table(called: str, folder: Path) -> Simulations:
    """Map a table.

    Args:
        called: What a user called, for the messages.
        folder: The folder.

    Returns:
        The simulations.

    Raises:
        FileNotFoundError: The folder holds no simulations.
        ValueError: A file is damaged, or there is no sound row.
    """
    manifest = read_manifest(called, folder)
    if not manifest.complete:
        raise ValueError(
            f"{called}: none of the {manifest.num_rows:,} simulations in '{folder}' is complete "
            "yet; expected some. Go on with them: call run_simulations as it was called."
        )
    ledger = read_ledger(called, folder, manifest)
    rows, dropped = ledger.find_sound(), ledger.count_dropped()
    refuse_all_failed(called, rows, dropped)
    arrays = map_table(called, folder, manifest)
    return Simulations(arrays["latent"], arrays["observed"], dropped, rows)


def check_rows(called: str, folder: Path, manifest: Manifest) -> None:
    """Refuse rows that are not those that were written.

    Args:
        called: What a user called, for the messages.
        folder: The folder.
        manifest: Its manifest, which has the checksums of the rows.

    Raises:
        ValueError: A checksum is that of other rows, or a file is damaged.
    """
    codes = read_ledger(called, folder, manifest).codes
    arrays, chunks = map_table(called, folder, manifest), manifest.chunks
    for number, expected in manifest.sums.items():
        first_row, size = chunks[number]
        where, found = slice(first_row, first_row + size), 0
        if (codes[where] == SOUND).any():  # else there was nothing to write
            for array in (each for sites in arrays.values() for each in sites.values()):
                found = sum_rows(found, array[where])
        if sum_rows(found, codes[where]) != expected:
            raise ValueError(
                f"{called}: rows {first_row:,} to {first_row + size - 1:,} in '{folder}' are "
                "damaged (their checksum is that of other numbers); expected what run_simulations "
                "wrote. Copy the folder again, or simulate into another one."
            )


def map_table(called: str, folder: Path, manifest: Manifest) -> dict[str, dict[str, np.ndarray]]:
    """Map all rows of a table, sound or not.

    Args:
        called: What a user called, for the messages.
        folder: The folder.
        manifest: Its manifest.

    Returns:
        ``{"latent" or "observed": {site: array[row, ...]}}``.

    Raises:
        ValueError: A file is damaged.
    """
    return {
        group: {
            name: map_array_file(
                called, folder / name_file(group, number), (manifest.num_rows, *shape), dtype
            )
            for number, (name, (shape, dtype)) in enumerate(sites.items())
        }
        for group, sites in (manifest.layout or {}).items()
    }


def read_ledger(called: str, folder: Path, manifest: Manifest) -> Ledger:
    """Read which rows are sound.

    Args:
        called: What a user called, for the messages.
        folder: The folder.
        manifest: Its manifest, which alone says what is complete.

    Returns:
        The ledger.

    Raises:
        ValueError: The file is damaged.
    """
    codes = np.full(manifest.num_rows, PENDING, dtype=np.uint8)
    if manifest.complete:
        there = map_array_file(called, folder / ROWS, codes.shape, codes.dtype)
        for number, (first_row, size) in enumerate(manifest.chunks):
            if number in manifest.complete:
                codes[first_row : first_row + size] = there[first_row : first_row + size]
    return Ledger(codes, list(manifest.reasons))
