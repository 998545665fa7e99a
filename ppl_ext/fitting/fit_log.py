"""What an optimisation did and why it ended."""

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["INTERRUPTED", "FitLog"]

INTERRUPTED = "interrupted"


@dataclass(frozen=True, eq=False)
class FitLog:
    """What an optimisation did and why it ended.

    Args:
        losses: ``losses[step]``, negative ELBO in nats, noisy where the optimiser is; float64.
        reason: Why it ended, in words.
        converged: True where a stopping rule (or the solver's own test) ended it.
        seconds: Wall-clock time of the run without compilation.
        compile_seconds: Wall-clock time of compilation, 0 where nothing was compiled.
        gradients: Number of gradients of the model's log density.
        start_losses: Loss that every start reached, those that were dropped early included; the
            deterministic solver compares its own before it refines the best, and counts paths
            that end at the same mode as one start.
        dropped_starts: How many of them trailed and were dropped early.
        notes: What the reader should know, one sentence each.
        plateaus: Steps at which the rule said that the loss had stopped falling.

    Example:
        >>> log = FitLog(np.array([4.0, 3.0, 2.5]), "the loss has stopped falling", True, 0.1)
        >>> log.final_loss
        2.5
        >>> print(log)
        3 steps in 0.10 s; the loss has stopped falling; final loss 2.50
    """

    losses: np.ndarray
    reason: str
    converged: bool
    seconds: float
    compile_seconds: float = 0.0
    gradients: int = 0
    start_losses: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    plateaus: tuple[int, ...] = ()
    dropped_starts: int = 0

    @property
    def final_loss(self) -> float:
        """Mean of the last tenth of the losses; NaN where no step was made."""
        if not len(self.losses):
            return math.nan
        return float(np.mean(self.losses[-max(1, len(self.losses) // 10) :]))

    @property
    def end(self) -> str:
        """Why it ended, without the figures in brackets."""
        return self.reason.partition(" (")[0]

    @property
    def interrupted(self) -> bool:
        """True where the user stopped the run."""
        return self.reason == INTERRUPTED

    @property
    def dropped(self) -> str:
        """How many starts were dropped early, in words after their list; empty if none was."""
        return f", {self.dropped_starts} of them dropped early" if self.dropped_starts else ""

    def __str__(self) -> str:
        time_spent = f"{self.seconds:.2f} s"
        if self.compile_seconds:
            time_spent += f" (and {self.compile_seconds:.2f} s compiling)"
        parts = [f"{len(self.losses):,} steps in {time_spent}"]
        if self.gradients:
            parts.append(f"{self.gradients:,} gradients")
        parts += [self.reason, f"final loss {self.final_loss:,.2f}"]
        if len(self.start_losses) > 1:
            losses = " ".join(f"{loss:,.2f}" for loss in self.start_losses)
            parts.append(f"starts {losses}{self.dropped}")
        return "\n".join(["; ".join(parts), *self.notes])
