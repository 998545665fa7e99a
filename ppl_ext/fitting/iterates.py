"""Which iterate, start or stage of a fit is its result, and what its log says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ppl_ext.fitting.fit_log import INTERRUPTED, FitLog

__all__ = ["Starts", "choose_iterate", "conclude_stages"]


@dataclass
class Starts:
    """The starts of a stochastic fit, each tried for some steps.

    Args:
        asked: Number of starts that were asked for.
        logs: Logs of the trials, one for each start that did not diverge.
        losses: What they reached.
        failures: What the starts that diverged said.
    """

    asked: int
    logs: list[FitLog] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    failures: list[FloatingPointError] = field(default_factory=list)

    def add(self, log: FitLog, loss: float) -> None:
        """Keep a trial and the loss that it reached (NaN where it made no step)."""
        self.logs.append(log)
        self.losses.append(loss)

    @property
    def best(self) -> int:
        """Which of the starts kept is the best; the only one where none was tried."""
        return int(np.argmin(np.nan_to_num(self.losses, nan=np.inf))) if self.losses else 0

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped the last trial."""
        return bool(self.logs) and self.logs[-1].interrupted

    def summarise(self, log: FitLog | None, loss: float, note: str, per_step: int) -> FitLog:
        """The log of the whole fit.

        Args:
            log: Log of the best start from its trial on, None where the trials were interrupted.
            loss: Loss of the result.
            note: What the result is, in words.
            per_step: Gradients of one step.
        """
        made = [*self.logs, *([log] if log else [])]
        last = log or replace(self.logs[self.best], reason=INTERRUPTED, converged=False)
        notes, reached = [note], list(self.losses)
        if self.failures:
            notes.append(
                f"{len(self.failures)} of {self.asked} starts diverged; the first: "
                f"{self.failures[0]}"
            )
        if reached:
            reached[self.best] = loss
        return replace(
            last,
            seconds=sum(part.seconds for part in made),
            gradients=per_step * sum(len(part.losses) for part in made),
            start_losses=tuple(reached),
            dropped_starts=max(0, len(reached) - 1),
            notes=tuple(notes),
        )


def choose_iterate(losses: Mapping[str, np.ndarray]) -> tuple[str, float, str]:
    """The first of some iterates, or a later one where that is provably better.

    Args:
        losses: Losses of every iterate on the same fresh draws, ``{name: losses[draw]}``, the
            one to be preferred first.

    Returns:
        The name of the iterate, its mean loss, and a sentence on both.
    """
    finite = [name for name, loss in losses.items() if np.isfinite(loss).all()]
    chosen, *others = finite or list(losses)[:1]
    for name in others:
        # All see the same draws, so that most of the noise cancels in the difference.
        gain = losses[chosen] - losses[name]
        if gain.mean() > 2 * gain.std() / np.sqrt(len(gain)):
            chosen = name
    loss = float(np.mean(losses[chosen]))
    return chosen, loss, f"the result is {chosen}, its ELBO {-loss:,.3f} on fresh draws"


def conclude_stages(
    losses: Mapping[str, np.ndarray], logs: Sequence[FitLog], notes: Sequence[str]
) -> tuple[str, FitLog]:
    """The result of a fit in stages, each from where the one before it ended.

    Args:
        losses: Losses after every stage on the same fresh draws, as `choose_iterate` takes them.
        logs: Logs of all that was run, the last stage's last.
        notes: What is known beside.

    Returns:
        The name of the best stage, and the log of the whole fit: the losses are those of the last
        stage, the notes tell of all.
    """
    chosen, _, note = choose_iterate(losses)
    others = [
        f"{name} has {-loss.mean():,.3f} on the same draws"
        for name, loss in losses.items()
        if name != chosen and np.isfinite(loss).all()
    ]
    return chosen, replace(
        logs[-1],
        seconds=sum(log.seconds for log in logs),
        gradients=sum(log.gradients for log in logs),
        notes=(*notes, note, *others),
    )
