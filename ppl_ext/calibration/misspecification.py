"""Whether observations are like what was simulated, which no posterior knows by itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from ppl_ext.calibration.distances import compare_samples, find_frame
from ppl_ext.calibration.strange_columns import describe_set, find_reach
from ppl_ext.calibration.surprise import Surprise

__all__ = ["Simulated", "measure_surprise"]

_MOST = 4000  # simulations that are looked at
_FEWEST = 600  # simulations; half of them are held out, and 3 / (1 + 300) is below the alarm


def measure_surprise(
    simulated: np.ndarray,
    observed: np.ndarray,
    *,
    columns: Sequence[str] | None = None,
    seed: int = 0,
) -> Surprise:
    """Ask whether observations are like simulations, before an amortized posterior is believed.

    Half of the simulations make the coordinates: medians and median deviations, heavy tails
    tamed, a shrunk covariance. Three distances, from the centre (Mahalanobis), to the nearest
    simulations and in the strangest column, are ranked among those of the other half, each case
    by the best of its three ranks: the p-values are exact whatever the law of the data. Several
    observations are also compared as a set with the simulations, by the maximum mean discrepancy
    and permutations.

    It sees the data alone. A model can be wrong and still simulate such data.

    Args:
        simulated: ``[simulation, width]``, data or summaries from the prior predictive; for data
            of many numbers what the posterior's own embedding makes of them.
        observed: ``[width]`` or ``[observation, width]``, independent of each other.
        columns: Names of the columns, for the sentence.
        seed: Of the split and the permutations.

    Returns:
        Distances, p-values, and which column is strange.

    Raises:
        ValueError: Shapes that do not fit, values that are not finite, too few simulations.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=1000)
        >>> pairs = np.stack([x, x + 0.1 * rng.normal(size=1000)], axis=1)
        >>> found = measure_surprise(pairs, np.array([1.0, -1.0]), columns=["left", "right"])
        >>> found.ok, found.sentence
        (False, "'right' is -1, strange beside the other columns: they say 0.989")

    References:
        Schmitt, Bürkner, Köthe, Radev (2023), Detecting model misspecification in amortized
        Bayesian inference with neural networks, GCPR.
        Vovk, Gammerman, Shafer (2005), Algorithmic learning in a random world, Springer (ranks
        among held-out cases).
    """
    return Simulated(simulated, columns=columns, seed=seed).measure(observed)


class Simulated:
    """Simulations made ready, beside which many observations can be looked at one by one.

    Args:
        simulated: As `measure_surprise` takes it.
        columns: Names of the columns, for the sentence.
        seed: Of the split and the permutations.

    Raises:
        ValueError: Shapes that do not fit, values that are not finite, too few simulations.

    Example:
        >>> known = Simulated(np.random.default_rng(0).normal(size=(1000, 3)))
        >>> [known.measure(np.full(3, at)).ok for at in (0.5, 9.0)]
        [True, False]
    """

    def __init__(
        self, simulated: np.ndarray, *, columns: Sequence[str] | None = None, seed: int = 0
    ) -> None:
        known = np.asarray(simulated, np.float64)
        _check_known(known, columns)
        self._rng = np.random.default_rng(seed)
        self._width = known.shape[1]
        known = known[self._rng.permutation(len(known))[:_MOST]]
        half = len(known) // 2
        self._frame, self._rest = find_frame(known[:half]), known[half:]
        self._reach = find_reach(self._frame, known[:half])
        self._measures = {
            "mahalanobis": self._frame.measure_mahalanobis,
            "neighbours": self._frame.measure_neighbours,
            "columns": self._reach.measure_worst,
        }
        self._held_out = {name: measure(self._rest) for name, measure in self._measures.items()}
        self._names = (
            [f"'{name}'" for name in columns]
            if columns
            else [f"column {number}" for number in range(self._width)]
        )

    def measure(self, observed: np.ndarray) -> Surprise:
        """Ask how far observations lie from the simulations, as `measure_surprise` does.

        Args:
            observed: ``[width]`` or ``[observation, width]``.

        Raises:
            ValueError: It has another width, or is not finite.
        """
        seen = np.asarray(observed, np.float64)
        seen = seen[None] if seen.ndim == 1 else seen
        _check_seen(seen, self._width)
        frame, rest, reach, names = self._frame, self._rest, self._reach, self._names
        distances = {name: measure(seen) for name, measure in self._measures.items()}
        both = (np.stack(list(each.values())) for each in (distances, self._held_out))
        p_values = _rank_together(*both)
        set_p = 1.0
        if len(seen) > 1:
            inside = frame.whiten(seen)
            inside = inside[np.isfinite(inside).all(1)]
            # A copy, so that the answer does not hang on what was asked before.
            rng = copy.deepcopy(self._rng)
            set_p = compare_samples(frame.whiten(rest), inside, rng) if len(inside) > 1 else set_p
        which = int(np.lexsort((-distances["mahalanobis"], p_values))[0])
        if set_p < len(seen) * p_values.min():
            sentence = describe_set(frame, rest, seen, names)
        else:
            sentence = reach.describe(seen[which], names)
            sentence = f"observation {which}: {sentence}" if len(seen) > 1 else sentence
        column = np.array([reach.find_strangest(row)[0] for row in seen])
        return Surprise(distances, self._held_out, p_values, set_p, column, sentence)


def _rank_together(seen: np.ndarray, held: np.ndarray) -> np.ndarray:
    """P-values of points by several measures at once: each point counts by its best rank.

    Args:
        seen: ``[measure, observation]``.
        held: ``[measure, simulation]``.

    Returns:
        ``[observation]``, exact where an observation is exchangeable with the simulations.
    """
    p_values = np.empty(seen.shape[1])
    for each, point in enumerate(seen.T):
        everything = np.column_stack([point, held])
        ascending = np.sort(everything, axis=1)
        beyond = [
            len(row) - np.searchsorted(row, values, side="left")
            for row, values in zip(ascending, everything, strict=True)
        ]
        best = np.min(beyond, axis=0)
        p_values[each] = np.mean(best <= best[0])
    return p_values


def _check_known(known: np.ndarray, columns: Sequence[str] | None) -> None:
    """Refuse simulations by which nothing can be told."""
    if known.ndim != 2:
        raise ValueError(
            f"measure_surprise: simulated has shape {known.shape}; expected [simulation, width]. "
            "Flatten what an observation has: simulated.reshape(len(simulated), -1)."
        )
    if columns is not None and len(columns) != known.shape[1]:
        raise ValueError(
            f"measure_surprise: {len(columns)} names for {known.shape[1]} columns; expected one "
            "for each. Leave columns out."
        )
    if len(known) < _FEWEST:
        raise ValueError(
            f"measure_surprise: {len(known)} simulations; expected {_FEWEST} or more, for ranks "
            "among fewer cannot tell one in a hundred. Simulate more."
        )
    _check_finite(known)


def _check_seen(seen: np.ndarray, width: int) -> None:
    """Refuse observations of another shape."""
    if seen.ndim != 2 or seen.shape[1] != width or not len(seen):
        raise ValueError(
            f"measure_surprise: observed has shape {seen.shape}, and a simulation {width} "
            "numbers; expected [width] or [observation, width]. Flatten what an observation has: "
            "observed.reshape(-1)."
        )
    _check_finite(seen)


def _check_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError(
            "measure_surprise: a value is NaN or infinite; expected finite numbers. Leave these "
            "rows out, and ask why the simulator makes them."
        )
