"""A table of simulations on disk, of which nothing is lost when a run ends in whatever way."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from ppl_ext.simulation.array_files import create_array_file, sum_rows, write_rows
from ppl_ext.simulation.chunks import Chunk, Layout, check_layout
from ppl_ext.simulation.manifest import (
    ROWS,
    Manifest,
    name_file,
    write_manifest,
)
from ppl_ext.simulation.reading import read_ledger

__all__ = ["FolderTable"]

# Flushing takes milliseconds, and a chunk of a fast simulator one: chunks wait for each other.
_COMMIT_SECONDS = 1.0


class FolderTable:
    """A table on disk, for one process at a time.

    Rows go to their places in preallocated files. A chunk counts once the manifest names it, and
    the manifest is replaced only after the files were flushed: whatever ends a run, the chunks
    that are named are whole, and all others are simulated again.

    Args:
        folder: The folder, which holds a manifest.
        manifest: That manifest.

    Example:
        >>> import tempfile
        >>> from ppl_ext.simulation.manifest import read_manifest
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder, mu = Path(name), np.arange(2.0)
        ...     write_manifest(folder, Manifest(chunk_size=2, numbers=(2,)))
        ...     with FolderTable(folder, read_manifest("run_simulations", folder)) as table:
        ...         table.write(Chunk(0, 2, {"latent": {"mu": mu}, "observed": {"y": -mu}}, {}))
        ...     read_manifest("run_simulations", folder).complete
        frozenset({0})
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._chunks = manifest.chunks
        self._numbers = {chunk: number for number, chunk in enumerate(self._chunks)}
        self._written: dict[int, int] = {}  # checksums of chunks that are not committed yet
        self._committed_at = -np.inf
        self._files: dict[str, BinaryIO] = {}
        if not manifest.complete:
            create_array_file(folder / ROWS, (manifest.num_rows,), np.dtype(np.uint8))
        self._ledger = read_ledger("run_simulations", folder, manifest)
        for name in (ROWS, *_name_files(manifest.layout)):
            self._files[name] = (folder / name).open("r+b")

    def __enter__(self) -> FolderTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(
                f"run_simulations: what is complete stays in '{self._folder}'; the same call goes "
                "on with it."
            )
        with contextlib.ExitStack() as stack:
            for file in self._files.values():
                stack.callback(file.close)
            self.commit()

    @property
    def missing(self) -> list[tuple[int, int]]:
        """First row and size of the chunks that are not on disk."""
        done = self._manifest.complete | self._written.keys()
        return [chunk for chunk, number in self._numbers.items() if number not in done]

    def write(self, chunk: Chunk) -> None:
        """Put a chunk into its place.

        Args:
            chunk: The chunk.

        Raises:
            ValueError: It has other sites, shapes or types than the table.
            OSError: The disk is full, say.
        """
        if self._manifest.layout is None and chunk.layout is not None:
            self._create_files(chunk.layout)
        layout = self._manifest.layout or {}
        check_layout(layout, chunk, "the rows before it")
        checksum = 0
        for group, sites in layout.items():
            for number, name in enumerate(sites):
                if chunk.arrays:
                    rows, file = chunk.arrays[group][name], self._files[name_file(group, number)]
                    write_rows(file, chunk.first_row, rows)
                    checksum = sum_rows(checksum, rows)
        self._ledger.enter(chunk)
        codes = self._ledger.codes[chunk.first_row : chunk.first_row + chunk.size]
        self._written[self._numbers[chunk.first_row, chunk.size]] = sum_rows(checksum, codes)
        if time.monotonic() - self._committed_at > _COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Flush what was written, and name it in the manifest."""
        if not self._written:
            return
        for number in self._written:
            first_row, size = self._chunks[number]
            codes = self._ledger.codes[first_row : first_row + size]
            write_rows(self._files[ROWS], first_row, codes)
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self._manifest = replace(
            self._manifest,
            complete=self._manifest.complete | self._written.keys(),
            reasons=tuple(self._ledger.reasons),
            sums={**self._manifest.sums, **self._written},
        )
        write_manifest(self._folder, self._manifest)
        self._written.clear()
        self._committed_at = time.monotonic()

    def _create_files(self, layout: Layout) -> None:
        for group, sites in layout.items():
            for number, (shape, dtype) in enumerate(sites.values()):
                path = self._folder / name_file(group, number)
                create_array_file(path, (self._manifest.num_rows, *shape), dtype)
                self._files[path.name] = path.open("r+b")
        self._manifest = replace(self._manifest, layout=layout)


def _name_files(layout: Layout | None) -> list[str]:
    return [
        name_file(group, number)
        for group, sites in (layout or {}).items()
        for number in range(len(sites))
    ]
