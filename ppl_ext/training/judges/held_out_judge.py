"""Decides by the mean losses of whole epochs, guarded by held-out batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ppl_ext.training.judges.epoch_judge import EpochJudge
from ppl_ext.training.judges.judge import Verdict
from ppl_ext.training.settings import MinibatchSettings
from ppl_ext.training.streams import Place

__all__ = ["HeldOutJudge"]

_FEWEST_STEPS = 50  # between two scores
_SURE, _LEAST_SHARE = 1.0, 1e-6  # standard errors, and share of the loss, that count as worse


class HeldOutJudge:
    """Guards the judge of the training losses against parameters that learn rows by heart.

    The averaged parameters are scored on held-out batches, the same rows with the same noise each
    time, so that the spread of the differences tells whether they are worse than the best that
    there was. The latest that are not count. Where all are worse, for as many looks as patience
    says, training goes on from those with a smaller step; if that finds nothing better, it ends.

    Gains are not asked of held-out batches: those of latent sites that all rows share drown in
    the noise of a few draws.

    Args:
        settings: Patience, factor and number of cuts.
        score: Gives the losses of all held-out batches, ``[batch]``.

    Raises:
        FloatingPointError: The first score is not finite.

    References:
        Prechelt (1998), Early stopping - but when?, Neural Networks: Tricks of the Trade.
    """

    def __init__(self, settings: MinibatchSettings, score: Callable[[], np.ndarray]) -> None:
        self._patience, self._score = settings.patience, score
        self._epochs = EpochJudge(settings)
        self._best = np.full(1, np.inf)
        self._kept, self._misses = np.inf, 0
        self._steps, self._made = 0, 0  # since the last score, and in all
        self._gained = True  # since the last cut for overfitting
        self.held_out: list[float] = []
        self.scored: list[float] = []

    @property
    def rate(self) -> float:
        """Factor of the step size."""
        return self._epochs.rate

    @property
    def loss(self) -> float:
        """Held-out loss of the parameters that count."""
        return self._kept

    def is_due(self, steps: int, place: Place) -> bool:
        """After whole epochs, and in long ones on the way."""
        return self._epochs.is_due(steps, place)

    def look(self, losses: np.ndarray, place: Place, last: bool) -> Verdict:
        """Decide from the losses of training, and from a score where enough steps were made."""
        # What is to be kept is decided here.
        verdict = replace(self._epochs.look(losses, place, last), keep=False)
        self._steps += len(losses)
        self._made += len(losses)
        if self._steps < _FEWEST_STEPS and not verdict.finished and not last:
            return verdict
        self._steps = 0
        found = self._score()
        self.held_out.append(float(found.mean()))
        self.scored.append(float(self._made))
        if self._is_worse(found):
            self._misses += 1
            return self._give_up(verdict) if self._misses >= self._patience else verdict
        self._misses, self._kept = 0, float(found.mean())
        if self._kept < self._best.mean():
            self._best, self._gained = found, True
        return replace(verdict, keep=True)

    def state(self) -> dict[str, np.ndarray]:
        """All that it remembers, for a checkpoint."""
        numbers = [self._kept, self._misses, self._steps, self._made, self._gained]
        return {
            **self._epochs.state(),
            "held_out": np.array(self.held_out),
            "scored": np.array(self.scored),
            "best": self._best,
            "numbers": np.array(numbers, float),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        self._epochs.load_state(state)
        self.held_out, self.scored = list(state["held_out"]), list(state["scored"])
        self._best = state["best"]
        kept, misses, steps, made, gained = state["numbers"].tolist()
        self._kept, self._misses = kept, int(misses)
        self._steps, self._made = int(steps), int(made)
        self._gained = bool(gained)

    def _is_worse(self, found: np.ndarray) -> bool:
        """Whether the scores are surely worse than the best."""
        if not np.isfinite(found).all():
            if not np.isfinite(self._best).all():
                bad = int(np.argmin(np.isfinite(found)))
                raise FloatingPointError(
                    f"fit_minibatches: the loss of held-out batch {bad} is {found[bad]}, where "
                    "those that are trained on are finite; expected finite ones. Look for missing "
                    "values, and for values outside of a support, among its rows."
                )
            return True
        if not np.isfinite(self._best).all():
            return False
        loss = found - self._best
        error = float(loss.std(ddof=1)) / len(loss) ** 0.5 if len(loss) > 1 else 0.0
        return float(loss.mean()) > max(_SURE * error, _LEAST_SHARE * abs(self.loss))

    def _give_up(self, verdict: Verdict) -> Verdict:
        """Go back to what was better; for good where that has been done in vain."""
        self._misses = 0
        if verdict.finished or not self._gained:
            return Verdict(restore=True, finished="held-out batches are no longer more likely")
        self._gained = False
        self._epochs.cut()
        return Verdict(restore=True, cut=True)
