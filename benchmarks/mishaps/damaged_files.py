"""Files of every kind that is read, damaged at random, and what their readers make of them.

The outcomes: ``equal`` numbers, ``refused`` by an error that begins with what was called, a
``raw`` error of something below, or ``other`` numbers without a word. Files of ours
are covered by checksums, so that ``other`` is a fault there; text and FCS files hold none, and one
digit in place of another cannot be told.
"""

import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mishaps.readable_files import KINDS, FileKind

__all__ = ["damage", "read_damaged", "try_damages"]

_OURS = re.compile(  # what was called comes first
    "(read_arrays|load|load_factors|NPE.load|fit_minibatches|open_simulations|read_ratings|read_feature_file"
    "|read_fcs|read_gates|read_spectrum|read_images|Images): "
)


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut off, insert, blank or repeat some bytes, so that the content is another one."""
    damaged = content
    while damaged == content:
        at = int(rng.integers(len(content)))
        length = int(rng.integers(1, 9))
        some = rng.integers(256, size=length, dtype=np.uint8).tobytes()
        text = bytes(rng.choice(bytearray(b'0123456789,;\t\n "-.e/{}[]:'), size=length).tolist())
        damaged = [
            content[:at],
            content[:at] + bytes([content[at] ^ 1 << rng.integers(8)]) + content[at + 1 :],
            content[:at] + some + content[at + length :],
            content[:at] + text + content[at + length :],
            content[:at] + some + content[at:],
            content[:at] + text + content[at:],
            content[:at] + content[at + length :],
            content[:at] + bytes(length) + content[at + length :],
            content[:at] + content[max(0, at - 8 * length) : at] + content[at:],
        ][int(rng.integers(9))]
    return damaged


def read_damaged(kind: FileKind, path: Path, sound: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """The outcome of reading a file, and its message where it is an error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = kind.read(path)
    except Exception as error:
        ours = isinstance(error, ValueError | TypeError | OSError) and _OURS.match(str(error))
        return ("refused" if ours else "raw"), f"{type(error).__name__}: {error}"
    same = list(found) == list(sound) and all(
        np.array_equal(found[name], sound[name], equal_nan=sound[name].dtype.kind in "fc")
        for name in sound
    )
    return ("equal" if same else "other"), ""


def try_damages(name: str, times: int, seed: int = 0) -> dict[str, Any]:
    """Read damaged files of a kind.

    Args:
        name: Kind of file.
        times: Damages.
        seed: Of the damages.

    Returns:
        How often each outcome came, the messages of raw errors, and whether all is as it should.
    """
    kind, rng = KINDS[name], np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    raw = set()
    with tempfile.TemporaryDirectory() as folder:
        path = kind.write(Path(folder))
        files = sorted(
            each for each in Path(folder).rglob("*") if each.is_file() and each.stat().st_size
        )
        contents = {each: each.read_bytes() for each in files}
        sound = kind.read(path)
        for _ in range(times):
            hit = files[int(rng.integers(len(files)))]
            hit.write_bytes(damage(contents[hit], rng))
            outcome, message = read_damaged(kind, path, sound)
            counts[outcome] += 1
            if outcome == "raw":
                raw.add(f"{hit.name}: {message[:200]}")
            for each, content in contents.items():
                each.write_bytes(content)
    allowed = {"equal", "refused"} | (set() if kind.summed else {"other"})
    return {"counts": dict(counts), "raw": sorted(raw), "right": set(counts) <= allowed}
