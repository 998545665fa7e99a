"""A folder that a run may write to: a new one, or one of the same simulator, to go on with."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ppl_ext.simulation.array_files import grow_array_file
from ppl_ext.simulation.chunks import Chunk, check_layout
from ppl_ext.simulation.ledger import SOUND
from ppl_ext.simulation.manifest import (
    MANIFEST,
    ROWS,
    Manifest,
    name_file,
    read_manifest,
    write_manifest,
)
from ppl_ext.simulation.reading import map_table, read_ledger

__all__ = ["hold_folder", "prepare_folder", "refuse_other_rows"]

_LOCK = "lock"
_OF_KILLED_WRITES = ".ppl_ext-"
# Another machine rounds in another way; another simulator or seed is not that close.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-6


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a folder, which is made where there is none.

    Args:
        folder: The folder.

    Yields:
        Nothing.

    Raises:
        RuntimeError: Another process holds it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, hold_folder(Path(folder)):
        ...     pass
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("ab") as file:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RuntimeError(
                    f"run_simulations: another process simulates into '{folder}'; expected one at "
                    "a time. Wait for it, or choose another folder."
                ) from error
            except OSError:  # a file system without locks
                pass
        yield


def prepare_folder(
    folder: Path, num_rows: int, chunk_size: int | None, identity: Mapping[str, Any]
) -> Manifest:
    """Begin a table in an empty folder, or go on with the one that is there.

    Args:
        folder: The folder.
        num_rows: Rows; a shorter table is extended.
        chunk_size: Rows of a chunk; None takes those of the table, or chooses.
        identity: What tells the simulator from others.

    Returns:
        The manifest.

    Raises:
        ValueError: The folder holds something else, or a table of another simulator, chunk size
            or of more rows.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = prepare_folder(Path(folder), 100, 10, {"seed": 0})
        ...     prepare_folder(Path(folder), 100, 10, {"seed": 1})
        Traceback (most recent call last):
            ...
        ValueError: run_simulations: seed is 0 in ... and 1 now; ...
    """
    if not (folder / MANIFEST).exists():
        others = sorted(
            path.name
            for path in folder.iterdir()
            if path.name != _LOCK and not path.name.startswith(_OF_KILLED_WRITES)
        )
        if others:
            raise ValueError(
                f"run_simulations: '{folder}' holds {others[:3]} and no simulations; expected an "
                f"empty folder. Choose another: folder='{folder.name}/simulations'."
            )
        size = chunk_size or choose_chunk_size(num_rows)
        manifest = Manifest(size, (num_rows,), identity=dict(identity))
        write_manifest(folder, manifest)
        return manifest
    manifest = read_manifest("run_simulations", folder)
    identity = json.loads(json.dumps(identity))  # tuples become lists in a file
    here = {"chunk_size": manifest.chunk_size, **manifest.identity}
    now = {"chunk_size": chunk_size or manifest.chunk_size, **identity}
    for name in [*here, *(each for each in now if each not in here)]:
        if here.get(name) != now.get(name):
            raise ValueError(
                f"run_simulations: {name} is {here.get(name)!r} in the table in '{folder}', and "
                f"{now.get(name)!r} now; expected the same, to go on with it. Take another folder."
            )
    if num_rows < manifest.num_rows:
        raise ValueError(
            f"run_simulations: the table in '{folder}' is one of {manifest.num_rows:,} "
            f"simulations, and {num_rows:,} are asked for; expected as many or more. Take some: "
            f"open_simulations('{folder.name}').take(slice({num_rows}))."
        )
    if num_rows > manifest.num_rows:
        # Files may be longer than the manifest says, never shorter.
        if manifest.complete:
            grow_array_file(folder / ROWS, num_rows)
        for group, sites in (manifest.layout or {}).items():
            for number in range(len(sites)):
                grow_array_file(folder / name_file(group, number), num_rows)
        manifest = replace(manifest, numbers=(*manifest.numbers, num_rows))
        write_manifest(folder, manifest)
    return manifest


def choose_chunk_size(num_rows: int) -> int:
    """Rows of a chunk where none are asked for: for some dozens of chunks, a thousand at most.

    Args:
        num_rows: Rows.

    Returns:
        Rows of a chunk.

    Example:
        >>> choose_chunk_size(500), choose_chunk_size(10**6)
        (8, 1000)
    """
    return min(1000, -(-num_rows // 64))


def refuse_other_rows(folder: Path, manifest: Manifest, fresh: Chunk) -> None:
    """Refuse a simulator that gives other rows than a table has.

    Args:
        folder: The table.
        manifest: Its manifest.
        fresh: A chunk of it, simulated again.

    Raises:
        ValueError: Rows differ by more than rounding.
    """
    check_layout(manifest.layout or {}, fresh, f"the table in '{folder}'")
    where = slice(fresh.first_row, fresh.first_row + fresh.size)
    sound = read_ledger("run_simulations", folder, manifest).codes[where] == SOUND
    now = np.array([row not in fresh.failed for row in range(fresh.size)])
    if (differing := np.flatnonzero(sound != now)).size:
        row = int(differing[0])
        words = {True: "sound", False: "failed"}
        raise _refuse(folder, f"row {fresh.first_row + row}", words[sound[row]], words[now[row]])
    stored = map_table("run_simulations", folder, manifest)
    for group, sites in fresh.arrays.items():
        for name, values in sites.items():
            old = np.asarray(stored[group][name][where], dtype=float)
            allowed = _ABSOLUTE * np.abs(old[sound]).max(initial=0)
            close = np.isclose(old, np.asarray(values, float), rtol=_RELATIVE, atol=allowed)
            different = np.argwhere(~close & sound.reshape(-1, *[1] * (old.ndim - 1)))
            if len(different):
                index = tuple(different[0].tolist())
                row = fresh.first_row + index[0]
                what = f"site '{name}' of row {row}"
                raise _refuse(folder, what, f"{old[index]:.6g}", f"{values[index]:.6g}")


def _refuse(folder: Path, what: str, before: str, now: str) -> ValueError:
    return ValueError(
        f"run_simulations: {what} is {before} in the table in '{folder}', and {now} now; expected "
        "the simulator, the prior and the seed that the table was begun with. Choose another "
        "folder."
    )
