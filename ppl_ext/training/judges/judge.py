"""What decides, at every look, whether to go on, to make smaller steps, or to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ppl_ext.training.streams import Place

__all__ = ["Judge", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """What a look leads to.

    Args:
        keep: Whether the averaged parameters are the best so far.
        restore: Whether to go on from the best.
        cut: Whether the step has been cut, and the average begins anew.
        renew: Whether the optimiser forgets the gradients that it has seen.
        finished: Why it ends; empty while it goes on.
        drifting: Whether it ends where parameters still drift.

    Example:
        >>> Verdict(keep=True).finished
        ''
    """

    keep: bool = False
    restore: bool = False
    cut: bool = False
    renew: bool = False
    finished: str = ""
    drifting: bool = False


class Judge(Protocol):
    """Looks at a training from time to time."""

    held_out: list[float]
    """Losses of held-out batches, one for each score, where there are any."""
    scored: list[float]
    """Steps made until each of them."""

    @property
    def rate(self) -> float:
        """Factor of the step size."""

    @property
    def loss(self) -> float:
        """Loss of the best parameters."""

    def is_due(self, steps: int, place: Place) -> bool:
        """Whether to look after so many steps since the last time, the last at a place."""

    def look(self, losses: np.ndarray, place: Place, last: bool) -> Verdict:
        """Decide how to go on.

        Args:
            losses: Those of the steps since the last time, ``[step]``, all finite.
            place: Of the last of these steps.
            last: Whether it is the last look, since a limit was reached.
        """

    def state(self) -> dict[str, np.ndarray]:
        """All that it remembers, for a checkpoint."""

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
