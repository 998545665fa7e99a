"""When to cut the steps of each network, and when all of them are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ppl_ext.npe.settings import Training

__all__ = ["DecayOnPlateau", "Decision"]

_GAIN = 1e-4  # nats that count as a gain


@dataclass(frozen=True)
class Decision:
    """What a look at the held-out pairs leads to, for each network.

    Args:
        improved: Whose weights are the best that they had, ``[member]``.
        decayed: Which go on from their best weights with smaller steps, ``[member]``.
        finished: Whether none has anything left to gain.

    Example:
        >>> Decision(np.array([True]), np.array([False]), finished=False).finished
        False
    """

    improved: np.ndarray
    decayed: np.ndarray
    finished: bool


class DecayOnPlateau:
    """Cuts the step of a network whose held-out loss has stopped falling.

    Args:
        settings: Patience, factor and number of cuts.

    Attributes:
        best: The least loss of each network, ``[member]``.
        rates: Factors of the step size, ``[member]``.

    Example:
        >>> schedule = DecayOnPlateau(Training(patience=2, num_decays=1))
        >>> losses = [[3.0], [2.0], [2.5], [2.5], [1.9], [2.0], [2.0]]
        >>> decisions = [schedule.look(np.array(loss)) for loss in losses]
        >>> [bool(decision.decayed[0]) for decision in decisions]
        [False, False, False, True, False, False, False]
        >>> decisions[-1].finished, schedule.best.tolist()
        (True, [1.9])

    References:
        Prechelt (1998), Early stopping - but when?, Neural Networks: Tricks of the Trade.
    """

    def __init__(self, settings: Training) -> None:
        self._settings = settings
        self.best = np.full(settings.num_members, np.inf)
        self.rates = np.ones(settings.num_members)
        self._misses = np.zeros(settings.num_members, int)
        self._cuts = np.zeros(settings.num_members, int)
        self._gained = np.zeros(settings.num_members, bool)  # since the last cut
        self._done = np.zeros(settings.num_members, bool)

    def look(self, losses: np.ndarray) -> Decision:
        """Decide after a look.

        Args:
            losses: Mean held-out loss of each network in nats, ``[member]``.
        """
        improved = losses < self.best - _GAIN
        self.best = np.where(improved, losses, self.best)
        self._misses = np.where(improved, 0, self._misses + 1)
        self._gained = self._gained | improved
        stuck = (self._misses >= self._settings.patience) & ~self._done
        # Where a smaller step has brought nothing, one that is smaller still will not either.
        barren = ~self._gained | (self._cuts == self._settings.num_decays)
        self._done = self._done | (stuck & barren)
        decayed = stuck & ~self._done
        self._cuts = self._cuts + decayed
        self._misses = np.where(decayed, 0, self._misses)
        self._gained = self._gained & ~decayed
        self.rates = np.where(decayed, self._settings.decay * self.rates, self.rates)
        return Decision(improved, decayed, finished=bool(self._done.all()))

    def state(self) -> dict[str, np.ndarray]:
        """Where it stands, for a checkpoint."""
        return {
            "best": self.best,
            "rates": self.rates,
            "misses": self._misses,
            "cuts": self._cuts,
            "gained": self._gained,
            "done": self._done,
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        self.best, self.rates = state["best"], state["rates"]
        self._misses, self._cuts = state["misses"], state["cuts"]
        self._gained, self._done = state["gained"], state["done"]
