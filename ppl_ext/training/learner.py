"""What the loop asks of a room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from ppl_ext.training.minibatches import Batch

__all__ = ["Learner"]


class Learner(Protocol):
    """A model and a guide as a room trains them."""

    def advance(self, step: int, batches: list[Batch], step_size: float) -> np.ndarray:
        """Make a step with each batch.

        Args:
            step: Number of the first step, from which its noise follows.
            batches: One for each step.
            step_size: Of the optimiser.

        Returns:
            ``losses[step]``.
        """

    def score(self, batches: Iterable[Batch]) -> np.ndarray:
        """Losses of the averaged parameters, ``[batch]``, with the same noise at every call."""

    def agree(self, numbers: np.ndarray) -> np.ndarray:
        """Those of the first process, so that all of them decide alike."""

    def parameters(self) -> np.ndarray:
        """As the optimiser sees them, ``[parameter]``."""

    def forget_gradients(self) -> None:
        """Let Adam begin anew from where the parameters are."""

    def keep(self) -> None:
        """Remember the averaged parameters as the best."""

    def restore(self) -> None:
        """Put the best parameters back, and restart the average."""

    def restart_average(self) -> None:
        """Average the parameters from here on."""

    def state(self) -> dict[str, np.ndarray]:
        """All that the training has reached, for a checkpoint."""

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
