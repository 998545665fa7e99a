"""The place of the truth among the draws of a fit."""

from collections.abc import Mapping

import numpy as np

__all__ = ["LOG_LIKELIHOOD", "PITColumns"]

# The name of the one quantity that is no site. Ranks of sites alone cannot tell a posterior from
# its prior (Modrák et al. 2023); the log likelihood of all data can.
LOG_LIKELIHOOD = "log likelihood"


class PITColumns:
    r"""Probability integral transforms of simulated truths, collected fit by fit.

    .. math:: u = \frac{\#\{\theta_l < \theta^*\} + v\,(1 + \#\{\theta_l = \theta^*\})}{L + 1},
        \qquad v \sim U(0, 1)

    Where the :math:`L` draws and the truth :math:`\theta^*` are exchangeable, :math:`u` is uniform
    exactly, ties of discrete sites included.

    Args:
        rng: Generator of :math:`v`.

    Example:
        >>> columns = PITColumns(np.random.default_rng(0))
        >>> columns.add({"mu": np.array(0.5)}, {"mu": np.linspace(0, 1, 99)})
        >>> columns.stack()["mu"].round(1).tolist()
        [0.5]
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._columns: dict[str, list[np.ndarray]] = {}

    def add(self, truth: Mapping[str, np.ndarray], draws: Mapping[str, np.ndarray]) -> None:
        """Place one simulated truth among the draws of the fit to its data.

        Args:
            truth: ``{quantity: array[...]}``.
            draws: ``{quantity: array[draw, ...]}``; quantities that only one of both has are left
                out.
        """
        for name in draws.keys() & truth.keys():
            true, drawn = np.asarray(truth[name]), np.asarray(draws[name])
            below, equal = (drawn < true).sum(0), (drawn == true).sum(0)
            jitter = self._rng.uniform(size=np.shape(below))
            place = (below + jitter * (1 + equal)) / (1 + len(drawn))
            self._columns.setdefault(name, []).append(place)

    def stack(self) -> dict[str, np.ndarray]:
        """All of them: ``{quantity: array[simulation, ...]}``."""
        return {name: np.stack(places) for name, places in self._columns.items()}
