"""Where a training stands, in a file from which the same call goes on."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ppl_ext.npe.preparation import Prepared
from ppl_ext.npe.settings import Training
from ppl_ext.storage import read_arrays, write_arrays
from ppl_ext.whole_files import find_target

__all__ = ["Checkpoint", "Progress", "open_checkpoint"]

_KIND = "npe checkpoint"
_WORDS = ("spoiled", "num_pairs", "seconds", "reason")


class _Stateful(Protocol):
    """What can be put down and taken up again."""

    def state(self) -> dict[str, np.ndarray]:
        """All that it has reached."""

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""


@dataclass
class Progress:
    """How far a training has come.

    Args:
        losses: Mean losses of the training pairs, ``[member]`` for each look.
        held_out: The same of the held-out pairs.
        spoiled: Looks in a row at which nothing was finite.
        num_pairs: Pairs that were trained on last.
        seconds: Wall-clock time, that of earlier calls among it.
        reason: Why it ended; empty while it goes on.

    Example:
        >>> Progress().num_looks
        0
    """

    losses: list[np.ndarray] = field(default_factory=list)
    held_out: list[np.ndarray] = field(default_factory=list)
    spoiled: int = 0
    num_pairs: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def num_looks(self) -> int:
        """Looks at the held-out pairs."""
        return len(self.held_out)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A file to which a training is written at every look, and from which it goes on.

    Args:
        path: The file.
        identity: What tells this training from others: ``{what: value of JSON}``.
    """

    path: Path
    identity: Mapping[str, Any]

    def write(
        self,
        learner: _Stateful,
        schedule: _Stateful,
        rng: np.random.Generator,
        progress: Progress,
    ) -> None:
        """Replace the file as a whole.

        Args:
            learner: The networks with their optimiser.
            schedule: What decides about their steps.
            rng: Source of the order of the pairs.
            progress: The log so far.
        """
        arrays = {f"learner/{name}": array for name, array in learner.state().items()}
        arrays |= {f"schedule/{name}": array for name, array in schedule.state().items()}
        arrays |= {"losses": np.array(progress.losses), "held_out": np.array(progress.held_out)}
        header = {
            "kind": _KIND,
            "identity": self.identity,
            "progress": {name: getattr(progress, name) for name in _WORDS},
            "rng": rng.bit_generator.state,
        }
        write_arrays(self.path, arrays, header)

    def resume(
        self,
        learner: _Stateful,
        schedule: _Stateful,
        rng: np.random.Generator,
        progress: Progress,
    ) -> bool:
        """Bring everything to where the file says that it was, and tell whether there was one.

        Args:
            learner: The networks with their optimiser.
            schedule: What decides about their steps.
            rng: Source of the order of the pairs.
            progress: The log so far.

        Raises:
            ValueError: The file is damaged, or of another training.
        """
        if not self.path.exists():
            return False
        arrays, header = read_arrays(self.path, kind=_KIND)
        self._refuse_others(header["identity"])
        learner.load_state(_take(arrays, "learner/"))
        schedule.load_state(_take(arrays, "schedule/"))
        rng.bit_generator.state = header["rng"]
        progress.losses = list(arrays["losses"])
        progress.held_out = list(arrays["held_out"])
        for name in _WORDS:
            setattr(progress, name, header["progress"][name])
        return True

    def _refuse_others(self, found: Mapping[str, Any]) -> None:
        for what, expected in self.identity.items():
            if found.get(what) != expected:
                raise ValueError(
                    f"NPE.train: the checkpoint '{self.path.name}' is of another training: "
                    f"{what} was {found.get(what)}, and is {expected} in this call. Expected the "
                    "same; call train as before, or name another file: "
                    "checkpoint='other.safetensors'."
                )


def open_checkpoint(
    path: str | os.PathLike[str] | None,
    *,
    host: str,
    latent: Mapping[str, tuple[int, ...]],
    network: Sequence[str],
    arrays: Mapping[str, np.ndarray],
    prepared: Prepared,
    settings: Training,
    seed: int,
    fresh: int,
) -> Checkpoint | None:
    """A checkpoint of a training.

    Args:
        path: The file; None for no checkpoint.
        host: Name of the host's module.
        latent: Unconstrained shapes of the sites of interest.
        network: Class names of estimator and embedding.
        arrays: Weights and more of the networks.
        prepared: The pairs.
        settings: How they are trained.
        seed: Seed of the training.
        fresh: Pairs that are drawn for each epoch; 0 for none.

    Raises:
        FileNotFoundError: The folder does not exist.
        IsADirectoryError: The path is a folder.
    """
    if path is None:
        return None
    sites = prepared.features.sites
    identity = {
        "the host": host,
        "the sites of interest": dict(latent),
        "the observed sites": [[site.name, site.shape, site.set_axis] for site in sites],
        "missing": prepared.features.missing,
        "the network": list(network),
        **{f"settings.{name}": value for name, value in asdict(settings).items()},
        "the shapes of the network": {name: array.shape for name, array in arrays.items()},
        "the key or seed": seed,
        "the number of fresh pairs": fresh,
        "the number of pairs": len(prepared.pairs.rows),
        "the checksum of the pairs": _sum_pairs(prepared),
    }
    return Checkpoint(find_target("NPE.train: checkpoint", path), json.loads(json.dumps(identity)))


def _sum_pairs(prepared: Prepared) -> int:
    """A checksum that other pairs have not: that of those held out and of what all have made."""
    frame, total = prepared.frame, 0
    parts = [*prepared.pairs.held_out, prepared.simulated, frame.weights, frame.bias]
    for scaling in prepared.features.scalings.values():
        parts += asdict(scaling).values()
    for part in (*parts, frame.scale_tril):
        total = zlib.crc32(np.ascontiguousarray(part).tobytes(), total)
    return total


def _take(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
