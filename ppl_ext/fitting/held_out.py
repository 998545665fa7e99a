"""When held-out draws say that others have been learned enough."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["HeldOut"]

_GAIN = 0.002  # nats by which held-out draws have to be more likely to count
_PATIENCE = 3  # looks without a gain


class HeldOut:
    """A rule that ends when held-out draws are no longer more likely, and the best until then.

    Args:
        look: The mean loss of the held-out draws in nats, and the iterate that has it.
        start: The iterate before the first look.

    Attributes:
        best: The iterate under which the held-out draws are the most likely.

    Example:
        >>> losses = iter([3.0, 2.0, 2.5, 2.5, 2.5])
        >>> rule = HeldOut(lambda: (loss := next(losses), f"the one of {loss}"), start=None)
        >>> [rule(np.zeros(1)) for _ in range(5)][3:], rule.best
        ([None, 'held-out draws are no longer more likely'], 'the one of 2.0')

    References:
        Prechelt (1998), Early stopping - but when?, Neural Networks: Tricks of the Trade.
    """

    def __init__(self, look: Callable[[], tuple[float, Any]], start: Any) -> None:
        self.best = start
        self._look = look
        self._least = math.inf
        self._misses = 0

    def __call__(self, losses: np.ndarray) -> str | None:
        """Look at the held-out draws, whatever the losses of the others are.

        Args:
            losses: ``losses[step]`` of the draws that are learned.

        Returns:
            A reason to end, or None to go on.
        """
        loss, iterate = self._look()
        self._misses += 1
        if loss < self._least - _GAIN:
            self._least, self.best, self._misses = loss, iterate, 0
        if self._misses < _PATIENCE:
            return None
        self._misses = 0  # a phase that follows has a patience of its own
        return "held-out draws are no longer more likely"
