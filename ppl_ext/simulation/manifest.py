"""What a folder of simulations says of itself: JSON, replaced as a whole."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ppl_ext import __version__
from ppl_ext.simulation.chunks import GROUPS, Layout, plan_chunks
from ppl_ext.simulation.ledger import Reason
from ppl_ext.whole_files import replace_file

__all__ = ["MANIFEST", "ROWS", "Manifest", "name_file", "read_manifest", "write_manifest"]

MANIFEST = "simulations.json"
ROWS = "rows.npy"  # a byte for each row, see `Ledger`
# In format 1 there were no checksums.
_FORMAT = 2


@dataclass(frozen=True)
class Manifest:
    """A table on disk.

    Args:
        chunk_size: Rows of a chunk.
        numbers: Rows that were asked for first, after the first extension, and so on. Chunks end
            at each of them.
        layout: Shapes and types; None before a row has succeeded.
        complete: Numbers of the chunks of which all is on disk.
        reasons: Why rows failed.
        sums: Checksum of the rows of a chunk, by its number; format 1 had none.
        identity: What tells the simulator from others.

    Example:
        >>> Manifest(chunk_size=2, numbers=(3, 5)).chunks
        [(0, 2), (2, 1), (3, 2)]
    """

    chunk_size: int
    numbers: tuple[int, ...]
    layout: Layout | None = None
    complete: frozenset[int] = frozenset()
    reasons: tuple[Reason, ...] = ()
    sums: Mapping[int, int] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return self.numbers[-1]

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """First row and size of each chunk."""
        starts = (0, *self.numbers[:-1])
        return [
            chunk
            for start, stop in zip(starts, self.numbers, strict=True)
            for chunk in plan_chunks(start, stop, self.chunk_size)
        ]

    def extend(self, num_rows: int) -> Manifest:
        """The manifest of a longer table."""
        return replace(self, numbers=(*self.numbers, num_rows))


def name_file(group: str, number: int) -> str:
    """The file of a site.

    Args:
        group: ``latent`` or ``observed``.
        number: Place of the site among those; names of sites may not be names of files.

    Returns:
        Its name.

    Example:
        >>> name_file("latent", 0)
        'latent-0.npy'
    """
    return f"{group}-{number}.npy"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest of a folder.

    Args:
        folder: The folder.
        manifest: The manifest.
    """
    layout: Any = manifest.layout and {
        group: [[name, list(shape), dtype.str] for name, (shape, dtype) in sites.items()]
        for group, sites in manifest.layout.items()
    }
    content = {
        "format": _FORMAT,
        "ppl_ext_version": __version__,
        "chunk_size": manifest.chunk_size,
        "numbers": manifest.numbers,
        "layout": layout,
        "complete": _to_ranges(manifest.complete),
        "sums": [manifest.sums.get(number) for number in sorted(manifest.complete)],
        "reasons": [[each.kind, each.row, each.message] for each in manifest.reasons],
        "identity": dict(manifest.identity),
    }
    text = json.dumps({**content, "checksum": _sum(content)}, indent=1)
    replace_file("run_simulations", folder / MANIFEST, text.encode())


def read_manifest(called: str, folder: Path) -> Manifest:
    """Read the manifest of a folder.

    Args:
        called: What a user called, for the messages.
        folder: The folder.

    Returns:
        The manifest.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged, or of a newer version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"{called}: '{folder}' holds no {MANIFEST}; expected a folder of simulations. Make "
            f"one: run_simulations(simulate, 1000, folder='{folder.name}')."
        )
    try:
        content = json.loads(path.read_bytes())
        version, written_by = content["format"], content["ppl_ext_version"]
        checksum = content.pop("checksum", None)
        if version in (1, _FORMAT):
            if checksum != (None if version == 1 else _sum(content)):
                raise ValueError("its checksum is that of another content")
            return _parse(content)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{called}: '{path}' is damaged ({type(error).__name__}: {error}); expected what "
            "run_simulations wrote. Copy the folder again, or simulate into another one."
        ) from error
    raise ValueError(
        f"{called}: '{path}' has format {version}, written by ppl_ext {written_by}; this is "
        f"{__version__}, which reads format 1 and {_FORMAT}. Run: pip install --upgrade ppl-ext."
    )


def _parse(content: Any) -> Manifest:
    layout = content["layout"] and {
        group: {
            str(name): (tuple(map(int, shape)), np.dtype(str(dtype)))
            for name, shape, dtype in content["layout"][group]
        }
        for group in GROUPS
    }
    complete = [chunk for start, stop in content["complete"] for chunk in range(start, stop)]
    sums = zip(complete, content.get("sums") or [], strict=False)
    manifest = Manifest(
        int(content["chunk_size"]),
        tuple(map(int, content["numbers"])),
        layout,
        frozenset(complete),
        tuple(
            Reason(str(kind), int(row), str(message)) for kind, row, message in content["reasons"]
        ),
        {number: checksum for number, checksum in sums if checksum is not None},
        dict(content["identity"]),
    )
    rising = all(np.diff((0, *manifest.numbers)) > 0) and manifest.numbers
    known = set(range(len(manifest.chunks) if manifest.chunk_size > 0 else 0))
    if not rising or not manifest.complete <= known:
        raise ValueError("the numbers of rows and chunks contradict each other")
    return manifest


def _sum(content: Mapping[str, Any]) -> int:
    """Checksum of what a manifest says, however it is laid out."""
    return zlib.crc32(json.dumps(content).encode())


def _to_ranges(numbers: frozenset[int]) -> list[list[int]]:
    """Numbers as ranges without their ends, as most chunks are done in order."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number:
            ranges[-1][1] += 1
        else:
            ranges.append([number, number + 1])
    return ranges
