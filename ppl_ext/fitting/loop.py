"""Drive an optimiser in chunks: progress, stopping, divergence and interruption."""

import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.fitting.fit_log import INTERRUPTED, FitLog

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["NonFiniteLossError", "drive", "open_bar"]


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
