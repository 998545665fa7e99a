"""A file that holds where a training stands, and belongs to that training alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ppl_ext.storage import read_arrays, write_arrays

__all__ = ["StateFile", "Stateful"]

_Arrays = dict[str, np.ndarray]


class Stateful(Protocol):
    """What can be put down and taken up again."""

    def state(self) -> dict[str, np.ndarray]:
        """All that it has reached."""

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""


@dataclass(frozen=True, eq=False)
class StateFile:
    """The file of one training.

    Args:
        called: What the user called, for messages.
        kind: What the file is, as its header says.
        path: The file.
        identity: What tells this training from others: ``{what: value of JSON}``.
        remedies: What may have made one of these another, and what to do: ``{what: sentence}``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = StateFile("train", "state", Path(folder, "kept"), {"the seed": 0})
        ...     file.write({"learner": {"w": np.ones(2)}}, {"step": 7})
        ...     parts, words = file.read()
        >>> parts["learner"]["w"].tolist(), words["step"]
        ([1.0, 1.0], 7)
    """

    called: str
    kind: str
    path: Path
    identity: Mapping[str, Any]
    remedies: Mapping[str, str] = field(default_factory=dict)

    def write(self, parts: Mapping[str, Mapping[str, Any]], words: Mapping[str, Any]) -> None:
        """Replace the file as a whole.

        Args:
            parts: ``{part: {name: array}}``.
            words: All else, as JSON.
        """
        arrays = {
            f"{part}/{name}": np.asarray(array)
            for part, state in parts.items()
            for name, array in state.items()
        }
        header = {"kind": self.kind, "identity": self._spelled(), "words": words}
        write_arrays(self.path, arrays, header)

    def read(self) -> tuple[dict[str, _Arrays], dict[str, Any]] | None:
        """What `write` was given; None where there is no file.

        Raises:
            ValueError: The file is damaged, or of another training.
        """
        if not self.path.exists():
            return None
        arrays, header = read_arrays(
            self.path,
            kind=self.kind,
            called=f"{self.called}: checkpoint",
            remedy=f"Copy it again; or remove it, and the same call begins anew: rm {self.path}.",
        )
        for what, expected in self._spelled().items():
            if (found := header["identity"].get(what)) != expected:
                remedy = f" {self.remedies[what]}" if what in self.remedies else ""
                raise ValueError(
                    f"{self.called}: the checkpoint '{self.path.name}' is of another training: "
                    f"{what} was {found}, and is {expected} in this call. Expected the same; "
                    "call as before, or name another file: checkpoint='other.safetensors'."
                    f"{remedy}"
                )
        parts: dict[str, _Arrays] = {}
        for name, array in arrays.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = array
        return parts, header["words"]

    def _spelled(self) -> dict[str, Any]:
        """The identity as it comes back from the file."""
        spelled: dict[str, Any] = json.loads(json.dumps(self.identity))
        return spelled
