"""What decides, at every look, whether to go on, to make smaller steps, or to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ppl_ext.fitting.stopping import Plateau
from ppl_ext.training.settings import MinibatchSettings
from ppl_ext.training.streams import Place

__all__ = ["HeldOutJudge", "Judge", "TrainingJudge", "Verdict"]

_FEWEST_STEPS = 50  # between two scores; a fifth of it between two looks
_SURE, _LEAST_SHARE = 1.0, 1e-6  # standard errors, and share of the loss, that count as worse
# Of the mean losses of epochs: about a hundred of them end a phase that is at its plateau.
_NOISE_FRACTION, _FEWEST_LOOKS = 0.6, 40


@dataclass(frozen=True)
class Verdict:
    """What a look leads to.

    Args:
        keep: Whether the averaged parameters are the best so far.
        restore: Whether to go on from the best.
        cut: Whether the step has been cut, and the average begins anew.
        finished: Why nothing is left to gain; empty while something is.

    Example:
        >>> Verdict(keep=True).finished
        ''
    """

    keep: bool = False
    restore: bool = False
    cut: bool = False
    finished: str = ""


class Judge(Protocol):
    """Looks at a training from time to time."""

    held_out: list[float]
    """Losses of held-out batches, one for each look, where there are any."""

    @property
    def rate(self) -> float:
        """Factor of the step size."""

    @property
    def loss(self) -> float:
        """Loss of the best parameters."""

    def is_due(self, steps: int, place: Place) -> bool:
        """Whether to look after so many steps since the last time, the last at a place."""

    def look(self, losses: np.ndarray, last: bool) -> Verdict:
        """Decide from the losses of the steps since the last time, ``[step]``, all finite.

        Whether it is the last look, since a limit was reached, the judge is told.
        """

    def state(self) -> dict[str, np.ndarray]:
        """All that it remembers, for a checkpoint."""

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""


class TrainingJudge:
    """Looks at the mean losses of whole epochs, in which the noise of the batches cancels.

    Where they have stopped falling (`Plateau`), the step is cut; where they are no lower after a
    cut, the training is done. The parameters averaged since the last cut count. No scores with
    fixed noise: of latent sites that all rows share, a few draws are too few to choose by.

    Args:
        settings: Factor and number of cuts.

    References:
        Welandawe, Andersen, Vehtari, Huggins (2024), A framework for improving the reliability
        of black-box variational inference, JMLR 25(219).
    """

    def __init__(self, settings: MinibatchSettings) -> None:
        self._settings, self._rule = (
            settings,
            Plateau(noise_fraction=_NOISE_FRACTION, min_steps=_FEWEST_LOOKS),
        )
        self._phase: list[float] = []
        self._before = np.array([np.inf, 0.0])  # mean loss and its error in the phase before
        self._cuts = 0
        self.held_out: list[float] = []

    @property
    def rate(self) -> float:
        """Factor of the step size."""
        return float(self._settings.decay**self._cuts)

    @property
    def loss(self) -> float:
        """Mean loss of the latest epochs."""
        return float(self._summary()[0])

    def is_due(self, steps: int, place: Place) -> bool:
        """After whole epochs."""
        return place.last and steps >= _FEWEST_STEPS // 5

    def look(self, losses: np.ndarray, last: bool) -> Verdict:
        """Decide from the mean of the losses since the last time."""
        self._phase.append(float(losses.mean()))
        reason = self._rule(np.array(self._phase))
        if not reason:
            return Verdict(keep=True)
        now = self._summary()
        gain, error = self._before[0] - now[0], float(np.hypot(self._before[1], now[1]))
        if self._cuts == self._settings.num_decays or not gain > error:
            return Verdict(keep=True, finished="the loss of epochs has stopped falling")
        self.cut()
        return Verdict(keep=True, cut=True)

    def cut(self) -> None:
        """Go on with a smaller step."""
        self._before, self._phase = self._summary(), []
        self._cuts += 1

    def state(self) -> dict[str, np.ndarray]:
        """All that it remembers, for a checkpoint."""
        return {
            "phase": np.array(self._phase),
            "before": self._before,
            "cuts": np.array(self._cuts),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        self._phase, self._before = list(state["phase"]), state["before"]
        self._cuts = int(state["cuts"])

    def _summary(self) -> np.ndarray:
        """Mean of the second half of the phase, and its standard error."""
        if not self._phase:
            return self._before
        half = np.array(self._phase[len(self._phase) // 2 :])
        return np.array([half.mean(), half.std() / max(len(half) - 1, 1) ** 0.5])


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

    References:
        Prechelt (1998), Early stopping - but when?, Neural Networks: Tricks of the Trade.
    """

    def __init__(self, settings: MinibatchSettings, score: Callable[[], np.ndarray]) -> None:
        self._patience, self._score = settings.patience, score
        self._training = TrainingJudge(settings)
        self._best = np.full(1, np.inf)
        self._kept, self._misses, self._steps = np.inf, 0, 0
        self._gained = True  # since the last cut for overfitting
        self.held_out: list[float] = []

    @property
    def rate(self) -> float:
        """Factor of the step size."""
        return self._training.rate

    @property
    def loss(self) -> float:
        """Held-out loss of the parameters that count."""
        return self._kept

    def is_due(self, steps: int, place: Place) -> bool:
        """After whole epochs."""
        return self._training.is_due(steps, place)

    def look(self, losses: np.ndarray, last: bool) -> Verdict:
        """Decide from the losses of training, and from a score where enough steps were made."""
        # What is to be kept is decided here.
        verdict = replace(self._training.look(losses, last), keep=False)
        self._steps += len(losses)
        if self._steps < _FEWEST_STEPS and not verdict.finished and not last:
            return verdict
        self._steps = 0
        found = self._score()
        self.held_out.append(float(found.mean()))
        if self._is_worse(found):
            self._misses += 1
            return self._give_up(verdict) if self._misses >= self._patience else verdict
        self._misses, self._kept = 0, float(found.mean())
        if self._kept < self._best.mean():
            self._best, self._gained = found, True
        return replace(verdict, keep=True)

    def state(self) -> dict[str, np.ndarray]:
        """All that it remembers, for a checkpoint."""
        numbers = [self._kept, self._misses, self._steps, self._gained]
        return {
            **self._training.state(),
            "held_out": np.array(self.held_out),
            "best": self._best,
            "numbers": np.array(numbers, float),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        self._training.load_state(state)
        self.held_out, self._best = list(state["held_out"]), state["best"]
        kept, misses, steps, gained = state["numbers"].tolist()
        self._kept, self._misses, self._steps = kept, int(misses), int(steps)
        self._gained = bool(gained)

    def _is_worse(self, found: np.ndarray) -> bool:
        """Whether the scores are surely worse than the best."""
        if not np.isfinite(found).all():
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
        self._training.cut()
        return Verdict(restore=True, cut=True)
