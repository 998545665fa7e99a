"""Decides by the mean losses of whole epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ppl_ext.fitting.stopping import Plateau
from ppl_ext.training.judges.drift import Drift
from ppl_ext.training.judges.judge import Verdict
from ppl_ext.training.settings import MinibatchSettings
from ppl_ext.training.streams import Place

__all__ = ["EpochJudge"]

_FEWEST_STEPS, _MOST_STEPS = 10, 2000  # between two looks
# Of the mean losses of epochs: about a hundred of them end a phase that is at its plateau.
_NOISE_FRACTION, _FEWEST_LOOKS = 0.6, 40
_LONGEST_WAIT = 3  # for drift, times the epochs after which the losses are flat


class EpochJudge:
    """Looks at the mean losses of whole epochs, in which the noise of the batches cancels.

    Where they have stopped falling (`Plateau`) and no parameter drifts (`Drift`), the step is
    cut; where they are no lower after a cut, the training is done. The parameters averaged since
    the last cut count. No scores with fixed noise: of latent sites that all rows share, a few
    draws are too few to choose by.

    Parameters that still drift at the first plateau may be slow because Adam divides by gradients
    of long ago: those from afar are thousands of times larger, and their squares are forgotten by
    a factor e in a thousand steps. It then begins anew from where it is. Drift is waited for
    until a phase is three times as long as its losses took; if that was in vain, the losses
    alone decide from there on, and parameters that drift at the end are told.

    Args:
        settings: Factor and number of cuts.
        read: Gives the parameters as the optimiser sees them, ``[parameter]``. None leaves the
            decision to the losses: networks drift as long as they learn, and held-out batches
            tell when that is in vain.

    References:
        Welandawe, Andersen, Vehtari, Huggins (2024), A framework for improving the reliability
        of black-box variational inference, JMLR 25(219).
    """

    def __init__(
        self, settings: MinibatchSettings, read: Callable[[], np.ndarray] | None = None
    ) -> None:
        self._settings, self._read = settings, read
        self._rule = Plateau(noise_fraction=_NOISE_FRACTION, min_steps=_FEWEST_LOOKS)
        self._epoch = np.zeros(2)  # losses of the epoch that is not over yet: sum and number
        self._phase: list[float] = []
        self._before = np.array([np.inf, 0.0])  # mean loss and its error in the phase before
        self._cuts = 0
        self._drift, self._renewed = Drift(), False
        self._flat = 0  # epochs of this phase at its first plateau
        self._waits = True  # until it was in vain
        self.held_out: list[float] = []
        self.scored: list[float] = []

    @property
    def rate(self) -> float:
        """Factor of the step size."""
        return float(self._settings.decay**self._cuts)

    @property
    def loss(self) -> float:
        """Mean loss of the latest epochs."""
        return float(self._summary()[0])

    def is_due(self, steps: int, place: Place) -> bool:
        """After whole epochs, and in long ones on the way."""
        return (place.last and steps >= _FEWEST_STEPS) or steps >= _MOST_STEPS

    def look(self, losses: np.ndarray, place: Place, last: bool) -> Verdict:
        """Decide from the mean of the losses of whole epochs."""
        self._epoch += losses.sum(), len(losses)
        if place.last:
            self._phase.append(float(self._epoch[0] / self._epoch[1]))
            self._epoch[:] = 0.0
            if self._read:
                self._drift.add(self._read())
        if not place.last or not self._rule(np.array(self._phase)):
            return Verdict(keep=True)
        drifting = self._drift.count()
        if drifting and self._may_renew():
            self._renewed = True
            self._start_phase()
            return Verdict(keep=True, renew=True)
        if drifting and self._may_wait():
            return Verdict(keep=True)
        now = self._summary()
        gain, error = self._before[0] - now[0], float(np.hypot(self._before[1], now[1]))
        if self._cuts == self._settings.num_decays or not gain > error:
            return self._finish(drifting)
        self.cut()
        return Verdict(keep=True, cut=True)

    def cut(self) -> None:
        """Go on with a smaller step."""
        self._before = self._summary()
        self._start_phase()
        self._cuts += 1

    def state(self) -> dict[str, np.ndarray]:
        """All that it remembers, for a checkpoint."""
        return {
            "phase": np.array(self._phase),
            "before": self._before,
            "cuts": np.array(self._cuts),
            "epoch": self._epoch,
            "drift": np.array([self._renewed, self._flat, self._waits]),
            **self._drift.state(),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        self._phase, self._before = list(state["phase"]), state["before"]
        self._cuts, self._epoch = int(state["cuts"]), np.array(state["epoch"])
        renewed, self._flat, waits = state["drift"].tolist()
        self._renewed, self._waits = bool(renewed), bool(waits)
        self._drift.load_state(state)

    def _may_renew(self) -> bool:
        """An optimiser that was given may follow a schedule of its own."""
        return not (self._cuts or self._renewed) and self._settings.optim is None

    def _may_wait(self) -> bool:
        self._flat = self._flat or len(self._phase)
        self._waits = self._waits and len(self._phase) < _LONGEST_WAIT * self._flat
        return self._waits

    def _finish(self, drifting: int) -> Verdict:
        reason = "the loss of epochs has stopped falling"
        if drifting:
            reason += f", while {drifting:,} of {self._drift.size:,} parameters still go one way"
        return Verdict(keep=True, finished=reason, drifting=drifting > 0)

    def _start_phase(self) -> None:
        self._phase, self._flat = [], 0
        self._epoch[:] = 0.0
        self._drift.restart()

    def _summary(self) -> np.ndarray:
        """Mean of the second half of the phase, and its standard error."""
        if not self._phase:
            started = self._epoch[1] and not np.isfinite(self._before[0])
            return np.array([self._epoch[0] / self._epoch[1], 0]) if started else self._before
        half = np.array(self._phase[len(self._phase) // 2 :])
        return np.array([half.mean(), half.std() / max(len(half) - 1, 1) ** 0.5])
