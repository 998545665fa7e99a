"""The loop in which a model and a guide learn from minibatches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from ppl_ext.fitting.fit_log import INTERRUPTED
from ppl_ext.fitting.loop import open_bar
from ppl_ext.training.blame import blame_data
from ppl_ext.training.judges.epoch_judge import EpochJudge
from ppl_ext.training.judges.held_out_judge import HeldOutJudge
from ppl_ext.training.judges.judge import Judge, Verdict
from ppl_ext.training.learner import Learner
from ppl_ext.training.log import MinibatchLog
from ppl_ext.training.minibatches import Batch, Minibatches
from ppl_ext.training.progress import Progress
from ppl_ext.training.refusals import say_nothing_is_finite
from ppl_ext.training.settings import MinibatchSettings
from ppl_ext.training.state_file import StateFile
from ppl_ext.training.streams import Place, Stream, walk

__all__ = ["train"]

_STEP_SIZES, _TRIAL_STEPS = (3e-2, 1e-2, 3e-3, 1e-3), 200
# What falls furthest at first ends higher: with networks, first steps are no guide.
_OF_NETWORKS = 1e-3
_BLOCK_STEPS, _BLOCK_BYTES = 32, 1 << 26  # of what a room is handed at once
_MOST_SPOILED = 5  # looks in a row that are not finite


class _Training:
    """One training on its way.

    Args:
        learner: The model and the guide.
        source: The batches.
        judge: Decides how to go on.
        settings: How to train.
    """

    def __init__(
        self,
        learner: Learner,
        source: Minibatches | Stream,
        judge: Judge,
        settings: MinibatchSettings,
    ) -> None:
        self.learner, self.source, self.judge = learner, source, judge
        self.settings, self.progress = settings, Progress()
        self._walk, self._place = self._walk_on(), Place(0, 0)
        self._kept = False

    def resume(self, file: StateFile) -> bool:
        """Go on from a checkpoint, and tell whether there was one."""
        found = file.read()
        if found is None:
            return False
        parts, words = found
        self.learner.load_state(parts["learner"])
        self.judge.load_state(parts["judge"])
        self.progress, self._kept = Progress(**words), True
        if not self.progress.finished:
            self.progress.reason = ""  # the limits of this call may be wider
        if isinstance(self.source, Stream) and self.progress.beginning is not None:
            at = self.progress.epoch, self.progress.batch
            self.source.expect(*at, self.progress.beginning)
        self._walk = self._walk_on()
        return True

    def write(self, file: StateFile) -> None:
        """Put everything down."""
        if isinstance(self.source, Stream):
            self.progress.beginning = self.source.sum_beginning(self.progress.batch)
        parts = {"learner": self.learner.state(), "judge": self.judge.state()}
        file.write(parts, vars(self.progress))

    def choose_step_size(self) -> float:
        """Make the first steps with each step size: the one that leads lowest."""
        start, reached = self.learner.state(), []
        for step_size in _STEP_SIZES:
            losses = self._advance(step_size, lambda steps, _: steps >= _TRIAL_STEPS)
            # The same batches with the same noise for each of them.
            loss = losses[-_TRIAL_STEPS // 4 :].mean() if np.isfinite(losses).all() else np.inf
            reached.append((float(loss), step_size))
            self.learner.load_state(start)
            vars(self.progress).update(vars(Progress()))
            self._walk = self._walk_on()
        return min(reached)[1]

    def look(self) -> None:
        """Train until the next look is due, and decide how to go on."""
        progress, judge = self.progress, self.judge
        step_size = progress.step_size * judge.rate
        losses = self._advance(step_size, judge.is_due)
        if not len(losses):
            return
        finite = bool(np.isfinite(losses).all())
        verdict = Verdict(restore=True)
        if finite:
            verdict = judge.look(losses, self._place, bool(progress.reason))
        latest = (progress.step, losses.mean(), step_size)
        for kept, value in zip(progress.looks.values(), latest, strict=True):
            kept.append(float(value))
        self._carry_out(verdict, finite=finite)
        hopeless = progress.spoiled and progress.reason and not self._kept
        if progress.spoiled == _MOST_SPOILED or hopeless:
            raise say_nothing_is_finite(progress.step, self.settings, step_size)

    def close(self) -> None:
        """Leave the learner with what is best, or with all there is."""
        if not self._kept and self.progress.reason == INTERRUPTED:
            self.learner.keep()
        self.learner.restore()

    def _carry_out(self, verdict: Verdict, *, finite: bool) -> None:
        progress = self.progress
        if verdict.keep:
            self.learner.keep()
            self._kept = True
        if verdict.restore:
            self.learner.restore()
        elif verdict.cut:
            self.learner.restart_average()
        if verdict.renew:
            self.learner.forget_gradients()
        progress.spoiled = 0 if finite else progress.spoiled + 1
        if not finite:
            progress.step_size *= self.settings.decay
        if verdict.finished:
            progress.reason, progress.finished = verdict.finished, True
            progress.converged = not verdict.drifting

    def _advance(self, step_size: float, is_due: Callable[[int, Place], bool]) -> np.ndarray:
        """Steps up to the next look: ``losses[step]``, up to the first that is not finite."""
        progress, losses, due = self.progress, np.zeros(0), False
        most = self.settings.max_epochs
        while not due:
            block, due = self._next_block(len(losses), is_due)
            end = not block or (block[-1][0].last and block[-1][0].epoch + 1 == most)
            if block:
                losses = np.concatenate([losses, self._step(block, step_size)])
            if end:
                progress.reason = f"reached max_epochs={most:,}"
            due = due or end or not np.isfinite(losses).all()
        return losses

    def _step(self, block: list[tuple[Place, Batch]], step_size: float) -> np.ndarray:
        progress, last = self.progress, block[-1][0]
        losses = self.learner.advance(progress.step, [batch for _, batch in block], step_size)
        finite = np.isfinite(losses)
        if not finite.all():
            bad = int(np.argmin(finite))
            blame_data(self.source, *block[bad], progress.step + bad)
        progress.step += len(block)
        progress.epoch, progress.batch, self._place = last.epoch, last.batch + 1, last
        return losses

    def _next_block(
        self, steps: int, is_due: Callable[[int, Place], bool]
    ) -> tuple[list[tuple[Place, Batch]], bool]:
        """Batches for one call of the room, and whether a look is due after them."""
        block: list[tuple[Place, Batch]] = []
        size = 0
        for place, batch in self._walk:
            block.append((place, batch))
            size += sum(getattr(array, "nbytes", 0) for array in batch)
            if is_due(steps + len(block), place):
                return block, True
            if len(block) == _BLOCK_STEPS or size >= _BLOCK_BYTES:
                break
        return block, False

    def _walk_on(self) -> Iterator[tuple[Place, Batch]]:
        place = Place(self.progress.epoch, self.progress.batch)
        return walk(self.source, place, self.settings.max_epochs)


def train(
    learner: Learner,
    source: Minibatches | Stream,
    settings: MinibatchSettings,
    *,
    held_out: list[Batch] | None = None,
    file: StateFile | None = None,
    writes: bool = True,
    progress_bar: bool = True,
) -> MinibatchLog:
    """Train until nothing is left to gain.

    Ctrl-C ends the training with the best parameters so far.

    Args:
        learner: The model and the guide; afterwards they hold their best averaged parameters.
        source: The batches.
        settings: How to train.
        held_out: Batches that the averaged parameters are scored on; None looks at the losses of
            those that are trained on.
        file: Where the training is written to at every look, and goes on from.
        writes: Whether this process is the one that writes it.
        progress_bar: Whether to draw a bar where there is a terminal.

    Raises:
        FloatingPointError: The loss of a batch is not finite, or none is any more.
        ValueError: The checkpoint is of another training, or the data change.
    """
    began = time.perf_counter()
    judge: Judge = EpochJudge(settings, learner.parameters)
    if held_out:
        judge = HeldOutJudge(settings, lambda: learner.agree(learner.score(held_out)))
    training = _Training(learner, source, judge, settings)
    resumed = file is not None and training.resume(file)
    progress = training.progress
    began -= progress.seconds
    try:
        if not resumed:
            # That of an optimiser which brings its own is a factor of its updates.
            given = settings.step_size if settings.optim is None else 1.0
            given = given or (_OF_NETWORKS if held_out else None)
            progress.step_size = given or training.choose_step_size()
        with open_bar(None, progress_bar, "train", unit=" steps") as bar:
            while not progress.reason:
                before = progress.step
                training.look()
                seconds = learner.agree(np.array(time.perf_counter() - began))
                progress.seconds = float(seconds)
                if not progress.reason and progress.seconds > settings.max_seconds:
                    progress.reason = f"reached max_seconds={settings.max_seconds:g}"
                if file is not None and writes:
                    training.write(file)
                bar.set_postfix_str(f"loss {judge.loss:,.6g}", refresh=False)
                bar.update(progress.step - before)
    except KeyboardInterrupt:
        progress.reason = INTERRUPTED
    finally:
        training.close()
    return MinibatchLog(
        **{name: np.array(values) for name, values in progress.looks.items()},
        held_out=np.array(judge.held_out),
        scored=np.array(judge.scored),
        best=judge.loss,
        reason=progress.reason,
        converged=progress.converged,
        seconds=time.perf_counter() - began,
        num_epochs=progress.epoch + (progress.batch > 0),
    )
