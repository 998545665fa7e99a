"""Where a training stands, in a file from which the same call goes on."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ppl_ext.npe.preparation import Prepared
from ppl_ext.npe.settings import Training
from ppl_ext.training.state_file import StateFile, Stateful
from ppl_ext.whole_files import find_target

__all__ = ["Checkpoint", "Progress", "open_checkpoint"]

_WORDS = ("spoiled", "num_pairs", "seconds", "reason")


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
        learner: Stateful,
        schedule: Stateful,
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
        log = {"losses": np.array(progress.losses), "held_out": np.array(progress.held_out)}
        words = {name: getattr(progress, name) for name in _WORDS}
        self._file.write(
            {"learner": learner.state(), "schedule": schedule.state(), "log": log},
            {**words, "rng": rng.bit_generator.state},
        )

    def resume(
        self,
        learner: Stateful,
        schedule: Stateful,
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
        found = self._file.read()
        if found is None:
            return False
        parts, words = found
        learner.load_state(parts["learner"])
        schedule.load_state(parts["schedule"])
        rng.bit_generator.state = words["rng"]
        progress.losses = list(parts["log"]["losses"])
        progress.held_out = list(parts["log"]["held_out"])
        for name in _WORDS:
            setattr(progress, name, words[name])
        return True

    @property
    def _file(self) -> StateFile:
        return StateFile("NPE.train", "npe checkpoint", self.path, self.identity)


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
    return Checkpoint(find_target("NPE.train: checkpoint", path), identity)


def _sum_pairs(prepared: Prepared) -> int:
    """A checksum that other pairs have not: that of those held out and of what all have made."""
    frame, total = prepared.frame, 0
    parts = [*prepared.pairs.held_out, prepared.simulated, frame.weights, frame.bias]
    for scaling in prepared.features.scalings.values():
        parts += asdict(scaling).values()
    for part in (*parts, frame.scale_tril, frame.clip.softness):
        total = zlib.crc32(np.ascontiguousarray(part).tobytes(), total)
    return total
