"""What decides, at every look, whether to go on, to make smaller steps, or to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ppl_ext.fitting.stopping import Plateau
from ppl_ext.training.decay import DecayOnPlateau
from ppl_ext.training.settings import MinibatchSettings
from ppl_ext.training.streams import Place

__all__ = ["HeldOutJudge", "Judge", "TrainingJudge", "Verdict"]

_FEWEST_STEPS, _MOST_STEPS = 50, 500  # between two looks
_LEAST_SHARE = 1e-6  # of the loss, that counts as a gain
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

    def look(self, losses: np.ndarray) -> Verdict:
        """Decide from the losses of the steps since the last time, ``[step]``, all finite."""

    def state(self) -> dict[str, np.ndarray]:
        """All that it remembers, for a checkpoint."""

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""


class HeldOutJudge:
    """Scores the averaged parameters on held-out batches.

    The same rows with the same noise are scored each time, so that the spread of the differences
    tells how sure a gain is. The best averaged parameters count.

    Args:
        settings: Patience, factor and number of cuts.
        score: Gives the losses of all held-out batches, ``[batch]``.
        steps_per_epoch: Batches of an epoch, 0 where that is not known.

    References:
        Prechelt (1998), Early stopping - but when?, Neural Networks: Tricks of the Trade.
    """

    def __init__(
        self, settings: MinibatchSettings, score: Callable[[], np.ndarray], steps_per_epoch: int
    ) -> None:
        self._schedule, self._score = DecayOnPlateau(settings, 1), score
        self._every = int(np.clip(steps_per_epoch or 250, _FEWEST_STEPS, _MOST_STEPS))
        self._best = np.full(1, np.inf)
        self.held_out: list[float] = []

    @property
    def rate(self) -> float:
        """Factor of the step size."""
        return float(self._schedule.rates[0])

    @property
    def loss(self) -> float:
        """Loss of the best parameters."""
        return float(self._schedule.best[0])

    def is_due(self, steps: int, place: Place) -> bool:
        """After an epoch, where that is neither few steps nor many."""
        return steps >= self._every

    def look(self, losses: np.ndarray) -> Verdict:
        """Decide from a new score."""
        found = self._score()
        self.held_out.append(float(found.mean()))
        if not np.isfinite(found).all():
            return Verdict(restore=True)
        gain = self._best - found
        error = float(gain.std(ddof=1)) / len(gain) ** 0.5 if len(self._best) > 1 else 0.0
        least = max(error, _LEAST_SHARE * abs(float(found.mean())))
        decision = self._schedule.look(np.array([found.mean()]), least)
        better, cut = bool(decision.improved[0]), bool(decision.decayed[0])
        if better:
            self._best = found
        reason = "a smaller step gains nothing any more" if decision.finished else ""
        return Verdict(keep=better, restore=cut, cut=cut, finished=reason)

    def state(self) -> dict[str, np.ndarray]:
        """All that it remembers, for a checkpoint."""
        return {**self._schedule.state(), "held_out": np.array(self.held_out), "found": self._best}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        self._schedule.load_state(state)
        self.held_out, self._best = list(state["held_out"]), state["found"]


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
        return float(self._summary()[0]) if self._phase else float(self._before[0])

    def is_due(self, steps: int, place: Place) -> bool:
        """After whole epochs."""
        return place.last and steps >= _FEWEST_STEPS // 5

    def look(self, losses: np.ndarray) -> Verdict:
        """Decide from the mean of the losses since the last time."""
        self._phase.append(float(losses.mean()))
        reason = self._rule(np.array(self._phase))
        if not reason:
            return Verdict(keep=True)
        now = self._summary()
        gain, error = self._before[0] - now[0], float(np.hypot(self._before[1], now[1]))
        if self._cuts == self._settings.num_decays or not gain > error:
            return Verdict(keep=True, finished="the loss of epochs has stopped falling")
        self._before, self._phase = now, []
        self._cuts += 1
        return Verdict(keep=True, cut=True)

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
        half = np.array(self._phase[len(self._phase) // 2 :])
        return np.array([half.mean(), half.std() / max(len(half) - 1, 1) ** 0.5])
