"""Observations that are like nothing simulated."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from ppl_ext.calibration import Simulated, Surprise
from ppl_ext.diagnostics.moments import label_elements
from ppl_ext.npe.features import ObservedSite
from ppl_ext.npe.observation import flatten_sites

__all__ = ["Familiar"]

_FEWEST = 600  # simulations beside which an observation can be called strange
_FAR = 1.5  # as far from them as the farthest of them, times this


class Familiar:
    """What was simulated, beside which observations are looked at; made ready at the first one.

    Args:
        simulated: From `flatten_sites`.
        sites: The observed sites.

    Example:
        >>> simulated = np.random.default_rng(0).normal(size=(1000, 2))
        >>> familiar = Familiar(simulated, [ObservedSite("y", (2,))])
        >>> familiar.measure({"y": np.array([[0.0, 9.0]])}).sentence
        "'y[1]' is 9; simulations lie between -2.51 and 2.51"
    """

    def __init__(self, simulated: np.ndarray, sites: Sequence[ObservedSite]) -> None:
        self._data, self._sites = simulated, tuple(sites)

    @functools.cached_property
    def _simulated(self) -> Simulated:
        columns = label_elements({site.name: np.empty((1, *site.shape)) for site in self._sites})
        return Simulated(self._data, columns=columns)

    def measure(self, observed: Mapping[str, np.ndarray]) -> Surprise:
        """How far observations lie from what was simulated.

        Args:
            observed: ``{site: array[observation, ...]}``.

        Raises:
            ValueError: There are too few simulations, or values are missing.
        """
        return self._simulated.measure(flatten_sites(observed, self._sites))

    def warn_of(self, observed: Mapping[str, np.ndarray]) -> None:
        """Warn of an observation that lies outside of everything simulated.

        Args:
            observed: One observation, ``{site: array[1, ...]}``.

        Warns:
            UserWarning: It does.
        """
        whole = np.isfinite(flatten_sites(observed, self._sites)).all()
        if len(self._data) < _FEWEST or not whole:
            return
        found = self.measure(observed)
        ratio = max(
            float(distances[0] / found.held_out[name].max())
            for name, distances in found.distances.items()
        )
        if ratio > _FAR:
            warnings.warn(
                f"NPE.posterior: the observation lies outside of everything simulated, "
                f"{ratio:.1f} times as far as the farthest simulation ({found.sentence}); the "
                "network knows nothing there. Let the model simulate such data (an outlier, a "
                "wider prior, noise that it lacks), and look at posterior.surprise().",
                stacklevel=3,
            )
