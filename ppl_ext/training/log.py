"""What is said about a training on minibatches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["MinibatchLog"]


@dataclass(frozen=True, eq=False)
class MinibatchLog:
    """How a training on minibatches went.

    Losses are estimates of the negative evidence lower bound of all data, in nats.

    Args:
        steps: Steps made until each look, ``[look]``.
        losses: Mean loss of the steps since the look before, ``[look]``.
        held_out: Loss of the averaged parameters on held-out batches, ``[score]``; empty where
            none are held out.
        scored: Steps made until each of these scores, ``[score]``.
        step_sizes: Step size until each look, ``[look]``.
        best: Loss of the parameters that are returned: that of the held-out batches where there
            are some, else the mean over the latest epochs.
        reason: Why it ended.
        converged: Whether nothing was left to gain, and, where none are held out, no parameter
            was still going one way.
        seconds: Wall-clock time, that of earlier calls of a checkpoint among it.
        num_epochs: Passes over the data, the last of them perhaps in part.

    Example:
        >>> look = np.ones(1)
        >>> print(MinibatchLog(50 * look, look, look, 50 * look, look, 1.0, "done", True, 0.5, 2))
        done after 50 steps in 2 epochs and 0.5 s; loss 1 on held-out batches
    """

    steps: np.ndarray
    losses: np.ndarray
    held_out: np.ndarray
    scored: np.ndarray
    step_sizes: np.ndarray
    best: float
    reason: str
    converged: bool
    seconds: float
    num_epochs: int

    def __str__(self) -> str:
        steps = int(self.steps[-1]) if len(self.steps) else 0
        which = "held-out batches" if len(self.held_out) else "the latest epochs"
        return (
            f"{self.reason} after {steps:,} steps in {self.num_epochs:,} epochs and "
            f"{self.seconds:.1f} s; loss {self.best:,.6g} on {which}"
        )
