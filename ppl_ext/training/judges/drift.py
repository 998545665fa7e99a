"""Tells whether parameters are on their way, where the losses are too noisy to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["Drift"]

_MOST_PLACES = 80  # so that half of them, which are tested, are twenty to forty
_MOST_PARAMETERS = 10_000  # evenly spaced ones of those that are more
_LEVEL = 0.05  # of the test of all parameters together


class Drift:
    r"""Counts the parameters that go one way, further than their noise would carry them.

    A t-test of the moves from epoch to epoch, in the second half of a phase. With mean ``m`` and
    standard deviation ``s`` of ``n`` moves of a parameter, it drifts where

    .. math:: |m| > t_{1 - level / 2d}\, s / \sqrt n

    with ``d`` parameters. Each is measured by its own noise, so that units do not matter. A random
    walk, which is what the noise of gradients makes of a parameter that nothing pulls, drifts in
    ``level`` of the tests of all parameters; one that is pulled back to where it belongs hardly
    ever. Around an optimum a loss changes with the square of the distance: parameters show a way
    that is left before the loss does.

    Places are kept at a stride that doubles with the length of the phase. Where the noise of an
    epoch is forgotten in the next one, only drift beyond that noise is found.

    Example:
        >>> rng, drift = np.random.default_rng(0), Drift()
        >>> for place in rng.normal([0.0, 0.0, 0.9], 1.0, (60, 3)).cumsum(0):
        ...     drift.add(place)
        >>> drift.count()
        1

    References:
        Pflug (1990), Non-asymptotic confidence bounds for stochastic approximation algorithms
        with constant step size, Monatshefte fuer Mathematik 110.
        Chee, Toulis (2018), Convergence diagnostics for stochastic gradient descent with constant
        learning rate, AISTATS.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget all, at the start of a phase."""
        self._places: list[np.ndarray] = []
        self._stride, self._seen = 1, 0

    def add(self, parameters: np.ndarray) -> None:
        """Keep where the parameters are, once an epoch.

        Args:
            parameters: As the optimiser sees them, ``[parameter]``.
        """
        if self._seen % self._stride == 0:
            self._places.append(parameters[:: -(-len(parameters) // _MOST_PARAMETERS)].copy())
        if len(self._places) > _MOST_PLACES:
            self._places, self._stride = self._places[::2], 2 * self._stride
        self._seen += 1

    def count(self) -> int:
        """How many parameters drift; none while too few places are known."""
        places = np.array(self._places[len(self._places) // 2 :], np.float64)
        if len(places) < 3:
            return 0
        # Once in many steps; what needs it less often than it is imported imports it by itself.
        from scipy.special import stdtrit

        moves = np.diff(places, axis=0)
        number, size = moves.shape
        limit = float(stdtrit(number - 1, 1 - _LEVEL / (2 * size)))
        error = moves.std(axis=0, ddof=1) / number**0.5
        return int((np.abs(moves.mean(axis=0)) > limit * error).sum())

    @property
    def size(self) -> int:
        """Parameters that are looked at."""
        return len(self._places[0])

    def state(self) -> dict[str, np.ndarray]:
        """All that it remembers, for a checkpoint."""
        return {
            "places": np.array(self._places),
            "strides": np.array([self._stride, self._seen]),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        self._places = list(state["places"])
        self._stride, self._seen = state["strides"].tolist()
