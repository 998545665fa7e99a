"""The loop in which networks learn from pairs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ppl_ext.fitting.fit_log import INTERRUPTED
from ppl_ext.fitting.loop import open_bar
from ppl_ext.npe.checkpoint import Checkpoint, Progress
from ppl_ext.npe.noise import Noise, fit_noise
from ppl_ext.npe.pairs import Batches, Pairs
from ppl_ext.npe.schedule import DecayOnPlateau
from ppl_ext.npe.settings import Training

__all__ = ["Learner", "LearningLog", "learn"]

FINISHED = "held-out pairs are no longer more likely"
_MOST_SPOILED = 10  # looks in a row at which nothing is finite


class Learner(Protocol):
    """Networks as a room trains them, side by side."""

    def advance(self, u: np.ndarray, f: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Make a step for each batch.

        Args:
            u: Coordinates, ``[step, batch, dim]``.
            f: Features, ``[step, batch, width]``.
            rates: Factors of the step size, ``[member]``.

        Returns:
            Mean loss of each network, ``[member]``.
        """

    def look(self, u: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Log densities of pairs under the averaged weights, and how far their noise lies.

        Args:
            u: Coordinates, ``[pair, dim]``.
            f: Features, ``[pair, width]``.

        Returns:
            Log densities and squared lengths of the noise, ``[member, pair]``; None instead of
            the lengths where the networks are no flows.
        """

    def keep(self, members: np.ndarray) -> None:
        """Remember the averaged weights of some networks as their best."""

    def restore(self, members: np.ndarray) -> None:
        """Put their best weights back."""

    def state(self) -> dict[str, np.ndarray]:
        """All that a training has reached, for a checkpoint."""

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""


@dataclass(frozen=True, eq=False)
class LearningLog:
    """How a training went.

    Args:
        losses: Mean negative log density of the training pairs, ``[look, member]``, in nats.
        held_out: The same of the held-out pairs.
        best: The least of the held-out losses, ``[member]``.
        reason: Why it ended.
        converged: Whether nothing was left to gain.
        seconds: Wall-clock time.
        num_pairs: Pairs trained on.
        num_held_out: Pairs held out.
        noise: The noise that the flows get for all to come; None for a standard normal one.
        notes: What the reader should know, one sentence each.

    Example:
        >>> log = LearningLog(np.zeros((1, 1)), np.ones((1, 1)), np.ones(1), "", True, 1.0, 90, 10)
        >>> log.num_looks
        1
    """

    losses: np.ndarray
    held_out: np.ndarray
    best: np.ndarray
    reason: str
    converged: bool
    seconds: float
    num_pairs: int
    num_held_out: int
    noise: Noise | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def num_looks(self) -> int:
        """Looks at the held-out pairs."""
        return len(self.held_out)

    def __str__(self) -> str:
        members = f"{len(self.best)} networks, " if len(self.best) > 1 else ""
        return (
            f"{members}{self.num_pairs:,} pairs and {self.num_held_out:,} held out; held-out log "
            f"density {-self.best.mean():.3f} (in the network's coordinates) after "
            f"{self.num_looks} looks in {self.seconds:.1f} s; {self.reason}{self._tell_noise()}"
        )

    def _tell_noise(self) -> str:
        if self.noise is None:
            return ""
        return (
            f"; widened to held-out pairs by noise of scale {self.noise.scale:.2f}, t with "
            f"{self.noise.df:.0f} degrees of freedom"
        )


def learn(
    learner: Learner,
    pairs: Pairs,
    settings: Training,
    rng: np.random.Generator,
    *,
    renew: Callable[[int], Pairs] | None = None,
    checkpoint: Checkpoint | None = None,
    progress_bar: bool = True,
) -> LearningLog:
    """Train networks until held-out pairs tell that nothing is left to gain.

    Ctrl-C ends the training with the best weights so far.

    Args:
        learner: The networks; afterwards they hold their best weights.
        pairs: Training and held-out pairs.
        settings: How to train.
        rng: Source of the order of the pairs.
        renew: Makes other training pairs for each epoch but the first, by its number; None to go
            through the same again.
        checkpoint: Where the training is written to at every look, and goes on from.
        progress_bar: Whether to draw a bar where there is a terminal.

    Returns:
        The log.

    Raises:
        FloatingPointError: No loss is finite.
        ValueError: The checkpoint is of another training.
    """
    schedule, progress = DecayOnPlateau(settings), Progress()
    everyone = np.ones(settings.num_members, bool)
    if checkpoint is None or not checkpoint.resume(learner, schedule, rng, progress):
        # The start is a candidate: a linear-Gaussian posterior needs no network.
        schedule.look(_score(learner, pairs))
        learner.keep(everyone)
    began = time.perf_counter() - progress.seconds
    with open_bar(None, progress_bar, "train", unit=" looks") as bar:
        try:
            for epoch in range(progress.num_looks, settings.max_epochs):
                if progress.reason:  # a checkpoint of a training that has ended
                    break
                if renew is not None and epoch:
                    pairs = renew(epoch)
                batches = Batches(pairs, settings.batch_size, rng)
                rates = schedule.rates * _anneal(epoch, settings.max_epochs)
                parts = [learner.advance(u, f, rates) for u, f in batches.epoch()]
                losses, held_out = np.mean(parts, axis=0), _score(learner, pairs)
                progress.losses.append(losses)
                progress.held_out.append(held_out)
                progress.num_pairs = len(pairs.rows)
                finite = np.isfinite(held_out) & np.isfinite(losses)
                progress.spoiled = 0 if finite.any() else progress.spoiled + 1
                if progress.spoiled == _MOST_SPOILED:
                    raise FloatingPointError(
                        "NPE.train: no loss is finite any more; expected finite ones. Lower the "
                        f"step: Training(step_size={settings.step_size / 10:g}), or look for "
                        "extreme simulations."
                    )
                decision = schedule.look(np.where(finite, held_out, np.inf))
                learner.keep(decision.improved)
                learner.restore(decision.decayed | ~finite)
                bar.set_postfix_str(f"held-out loss {schedule.best.mean():.4f}", refresh=False)
                bar.update(1)
                progress.seconds = time.perf_counter() - began
                if decision.finished:
                    progress.reason = FINISHED
                elif progress.seconds > settings.max_seconds:
                    progress.reason = f"reached max_seconds={settings.max_seconds:g}"
                elif epoch + 1 == settings.max_epochs:
                    progress.reason = f"reached max_epochs={settings.max_epochs:,}"
                if checkpoint is not None:
                    checkpoint.write(learner, schedule, rng, progress)
        except KeyboardInterrupt:
            progress.reason = INTERRUPTED
    learner.restore(everyone)
    log_q, squares = learner.look(*pairs.held_out)
    return LearningLog(
        losses=np.array(progress.losses).reshape(-1, settings.num_members),
        held_out=np.array(progress.held_out).reshape(-1, settings.num_members),
        best=schedule.best,
        reason=progress.reason,
        converged=progress.reason == FINISHED,
        seconds=time.perf_counter() - began,
        num_pairs=progress.num_pairs or len(pairs.rows),
        num_held_out=len(pairs.held_out[0]),
        noise=None if squares is None else fit_noise(log_q, squares, pairs.held_out[0].shape[1]),
    )


def _score(learner: Learner, pairs: Pairs) -> np.ndarray:
    """Mean loss of the held-out pairs, ``[member]``."""
    score: np.ndarray = -learner.look(*pairs.held_out)[0].mean(1)
    return score


def _anneal(epoch: int, max_epochs: int) -> float:
    """Factor of the steps, by which they go to zero over the second half of the most epochs.

    Weights that large steps shake spread their posteriors over all that they are shaken to. Where
    the limit ends a training, no plateau has cut the steps before.
    """
    return min(1.0, 2 * (max_epochs - epoch) / max_epochs)
