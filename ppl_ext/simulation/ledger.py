"""Which rows of a table were simulated, which failed, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ppl_ext.simulation.array_checks import NOT_YET
from ppl_ext.simulation.chunks import Chunk

__all__ = ["PENDING", "SOUND", "Ledger", "Reason"]

# A byte for each row: sound, not simulated yet, or in between the number of a reason.
SOUND, PENDING = 0, 255


@dataclass(frozen=True)
class Reason:
    """Why rows failed.

    Args:
        kind: Name of an error, say.
        row: The first of these rows.
        message: What it said of that row.

    Example:
        >>> str(Reason("ValueError", 7, "negative rate"))
        'ValueError: negative rate'
    """

    kind: str
    row: int
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


@dataclass
class Ledger:
    """The state of each row.

    Args:
        codes: ``[row]``, bytes.
        reasons: Reason of code 1 and so on.

    Example:
        >>> ledger = Ledger(np.full(3, PENDING, dtype=np.uint8))
        >>> ledger.enter(Chunk(0, 2, {}, {0: ("ValueError", "a"), 1: ("ValueError", "b")}))
        >>> ledger.count_dropped()
        {'ValueError: a': 2, 'not simulated yet': 1}
    """

    codes: np.ndarray
    reasons: list[Reason] = field(default_factory=list)

    def enter(self, chunk: Chunk) -> None:
        """Note a chunk."""
        codes = np.full(chunk.size, SOUND, dtype=np.uint8)
        for row, (kind, message) in sorted(chunk.failed.items()):
            codes[row] = self._find_code(Reason(kind, chunk.first_row + row, message))
        self.codes[chunk.first_row : chunk.first_row + chunk.size] = codes

    def find_sound(self) -> np.ndarray:
        """Indices of the sound rows."""
        return np.flatnonzero(self.codes == SOUND)

    def count_dropped(self) -> dict[str, int]:
        """``{reason: number of rows}``, in the order of the first row of each."""
        counts = np.bincount(self.codes, minlength=256)
        numbered = sorted(enumerate(self.reasons, start=1), key=lambda item: item[1].row)
        found = {str(reason): int(counts[code]) for code, reason in numbered if counts[code]}
        return found | ({NOT_YET: int(counts[PENDING])} if counts[PENDING] else {})

    def _find_code(self, reason: Reason) -> int:
        kinds = [each.kind for each in self.reasons]
        if reason.kind not in kinds and len(kinds) < PENDING - 1:
            self.reasons.append(reason)
            return len(self.reasons)
        # Where there are more kinds than codes, the last code is that of all others.
        code = kinds.index(reason.kind) if reason.kind in kinds else len(kinds) - 1
        # Chunks come in any order; the message is that of the first row all the same.
        if reason.row < self.reasons[code].row and reason.kind == kinds[code]:
            self.reasons[code] = reason
        return code + 1
