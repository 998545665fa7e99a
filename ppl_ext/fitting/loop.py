"""Drive an optimiser in chunks: progress, stopping, divergence and interruption."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["INTERRUPTED", "FitLog", "NonFiniteLossError", "drive", "open_bar"]


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


INTERRUPTED = "interrupted"


class NonFiniteLossError(FloatingPointError):
    """The loss became NaN or infinite.

    Args:
        step: First step whose loss is not finite, counted from 0.
        loss: That loss.
        log: What was reached before it.

    Example:
        >>> log = FitLog(np.array([4.0]), "diverged", False, 0.0)
        >>> str(NonFiniteLossError(step=1, loss=float("nan"), log=log)).split(":")[0]
        'the loss is nan at step 1'
    """

    def __init__(self, step: int, loss: float, log: FitLog):
        self.step = step
        self.loss = loss
        self.log = log
        before = f"; the last finite loss was {log.losses[-1]:.6g}" if len(log.losses) else ""
        super().__init__(
            f"the loss is {loss} at step {step}: a finite loss was expected{before}. "
            "Lower the step size, start elsewhere, or check the data and the model's supports."
        )


def drive(
    advance: Callable[[int], np.ndarray],
    *,
    max_steps: int,
    rule: Callable[[np.ndarray], str | None] | None = None,
    chunk: int | None = None,
    next_phase: Callable[[], bool] | None = None,
    gradients_per_step: int = 1,
    progress_bar: bool = True,
    describe: str = "fit",
) -> FitLog:
    """Run an optimiser in chunks until a rule, a limit or the user ends it.

    The optimiser lives in the caller: ``advance`` keeps its state and must store the new one only
    when a chunk is complete, so that after Ctrl-C the state is that of the last whole chunk.
    Not for solvers that know their own optimum and end by themselves.

    Args:
        advance: ``advance(n) -> losses[n]`` makes n steps. n is ``chunk``, except for a shorter
            last call where ``max_steps`` is no multiple of it.
        max_steps: The limit.
        rule: ``rule(losses[step]) -> reason or None``, asked after every chunk about the losses
            since the last plateau (see `ppl_ext.fitting`). None runs to ``max_steps``.
        chunk: Steps between two looks at the losses; a hundredth of ``max_steps`` if None.
        next_phase: Called when the rule gives a reason. The caller lowers its step size and
            returns True to go on, or False when it has nothing left to lower. None ends the run
            at the first plateau.
        gradients_per_step: Gradients of the log density in one step (particles), for the log.
        progress_bar: Draw a bar; it stays silent where stderr is neither a terminal nor a
            notebook.
        describe: Words before the bar.

    Returns:
        The log. ``converged`` is True where the rule ended the run; after Ctrl-C the reason is
        "interrupted" and the losses are those of the complete chunks, possibly none.

    Raises:
        NonFiniteLossError: A loss is NaN or infinite. It carries the step and the log up to it,
            so that the caller can add the name of the site or keep another start.
        ValueError: ``max_steps`` or ``chunk`` is not positive, or ``advance`` returned another
            number of losses than asked for.

    Example:
        >>> def advance(n, state=[8.0]):
        ...     losses = state[0] * 0.5 ** np.arange(1, n + 1)
        ...     state[0] = losses[-1]
        ...     return losses
        >>> log = drive(advance, max_steps=6, chunk=2, progress_bar=False)
        >>> log.losses.tolist(), log.converged, log.reason
        ([4.0, 2.0, 1.0, 0.5, 0.25, 0.125], False, 'reached max_steps=6')
    """
    chunk = math.ceil(max_steps / 100) if chunk is None else chunk
    if max_steps < 1 or chunk < 1:
        raise ValueError(
            f"drive: max_steps={max_steps} and chunk={chunk}; both must be at least 1. "
            "Write drive(advance, max_steps=10_000)."
        )
    losses = np.empty(max_steps)
    done = phase_start = 0
    plateaus: list[int] = []
    started = time.perf_counter()

    def log(reason: str, converged: bool = False) -> FitLog:
        return FitLog(
            losses=losses[:done].copy(),
            reason=reason,
            converged=converged,
            seconds=time.perf_counter() - started,
            gradients=done * gradients_per_step,
            plateaus=tuple(plateaus),
        )

    with open_bar(max_steps, progress_bar, describe) as bar:
        try:
            while done < max_steps:
                size = min(chunk, max_steps - done)
                latest = _check_losses(advance(size), size)
                finite = np.isfinite(latest)
                if not finite.all():
                    bad = int(np.argmin(finite))
                    losses[done : done + bad] = latest[:bad]
                    done += bad
                    raise NonFiniteLossError(done, float(latest[bad]), log("diverged"))
                losses[done : done + size] = latest
                done += size
                bar.set_postfix_str(f"loss {latest.mean():,.2f}", refresh=False)
                bar.update(size)
                reason = rule(losses[phase_start:done]) if rule else None
                if reason:
                    plateaus.append(done)
                    phase_start = done
                    if next_phase is None or not next_phase():
                        return log(reason, converged=True)
        except KeyboardInterrupt:
            return log(INTERRUPTED)
    return log(f"reached max_steps={max_steps}")


def _check_losses(losses: np.ndarray, expected: int) -> np.ndarray:
    checked = np.asarray(losses, dtype=np.float64)
    if checked.shape != (expected,):
        raise ValueError(
            f"drive: advance({expected}) returned losses of shape {checked.shape}; expected "
            f"({expected},). Return one loss for each step."
        )
    return checked


def open_bar(
    total: int | None, progress_bar: bool, describe: str, unit: str = "step"
) -> "tqdm[Any]":
    """A progress bar that stays silent where nobody would see it.

    Args:
        total: Number of units, None where it is not known.
        progress_bar: False for no bar at all.
        describe: Words before the bar.
        unit: What is counted.

    Returns:
        A context manager with ``update(n)``; silent where stderr is neither a terminal nor a
        notebook.

    Example:
        >>> with open_bar(10, progress_bar=False, describe="fit") as bar:
        ...     _ = bar.update(10)
    """
    from tqdm.auto import tqdm

    # A notebook is no terminal, yet it shows bars; tqdm's own test would silence them there.
    in_notebook = "tqdm.notebook" in sys.modules and issubclass(
        tqdm, sys.modules["tqdm.notebook"].tqdm_notebook
    )
    disable = not progress_bar or (False if in_notebook else None)
    return tqdm(total=total, desc=describe, unit=unit, disable=disable)
