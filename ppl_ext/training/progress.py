"""Where a training on minibatches stands."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Progress"]


@dataclass
class Progress:
    """Where a training stands.

    Args:
        step: Steps made.
        epoch: Epoch of the next batch.
        batch: Its number in that epoch.
        beginning: Checksum of the first batches of that epoch, where they come from a stream.
        step_size: Of the optimiser, before the cuts of the schedule.
        spoiled: Looks in a row that were not finite.
        seconds: Wall-clock time, that of earlier calls among it.
        reason: Why it ended; empty while it goes on.
        finished: Whether it ended by itself, and not at a limit.
        converged: Whether nothing was left to gain.
        looks: Entries of `MinibatchLog`, one number for each look.

    Example:
        >>> Progress().step
        0
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    beginning: int | None = None
    step_size: float = 0.0
    spoiled: int = 0
    seconds: float = 0.0
    reason: str = ""
    finished: bool = False
    converged: bool = False
    looks: dict[str, list[float]] = field(
        default_factory=lambda: {"steps": [], "losses": [], "step_sizes": []}
    )
