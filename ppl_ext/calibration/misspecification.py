"""Whether observations are like what was simulated, which no posterior knows by itself."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ppl_ext.calibration.distances import compare_samples, find_frame
from ppl_ext.calibration.strange_columns import describe_set, find_reach

__all__ = ["Surprise", "measure_surprise"]

_WIDTH = 88
_ALARM = 0.01
_MOST = 4000  # simulations that are looked at
_FEWEST = 600  # simulations; half of them are held out, and 3 / (1 + 300) is below the alarm


@dataclass(frozen=True, eq=False, repr=False)
class Surprise:
    """How far observations lie from simulations, beside held-out simulations.

    Args:
        distances: ``mahalanobis``, from the centre in the directions and scales of the
            simulations, ``neighbours``, to the nearest of them, and ``columns``, in the strangest
            column, by itself or given the others, as a multiple of where 99 of 100 simulations
            lie; each ``[observation]``.
        held_out: The same of simulations that were held out, each ``[simulation]``.
        p_values: ``[observation]``, by the ranks of all three among those held out.
        set_p_value: Of all observations together, by the maximum mean discrepancy; 1 for a
            single one.
        column: ``[observation]``, the column in which each is strangest.
        sentence: What is strange, in words.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> print(measure_surprise(rng.normal(size=(1000, 3)), np.array([0.0, 9.0, 0.0])))
        verdict       not like the simulations (p 0.002)
        strangest     column 1 is 9; simulations lie between -2.54 and 2.33
        advice        the posterior was never trained on such data: do not trust it here. Let
                      the model simulate them (an outlier, a wider prior, noise that it lacks),
                      or leave the column out.
    """

    distances: Mapping[str, np.ndarray]
    held_out: Mapping[str, np.ndarray]
    p_values: np.ndarray
    set_p_value: float
    column: np.ndarray
    sentence: str

    def __repr__(self) -> str:
        return f"Surprise({self.verdict}, p {self.p_value:.2g})"

    @property
    def p_value(self) -> float:
        """Of everything together, after Bonferroni."""
        if len(self.p_values) == 1:
            return float(self.p_values[0])
        return min(1.0, 2 * min(len(self.p_values) * float(self.p_values.min()), self.set_p_value))

    @property
    def ok(self) -> bool:
        """Whether one in a hundred or more like cases looks as strange."""
        return self.p_value >= _ALARM

    @property
    def verdict(self) -> str:
        """One of ``like the simulations`` and ``not like the simulations``."""
        return "like the simulations" if self.ok else "not like the simulations"

    @property
    def advice(self) -> str:
        """What to do."""
        if self.ok:
            return "none: the posterior was trained on such data."
        return (
            "the posterior was never trained on such data: do not trust it here. Let the model "
            "simulate them (an outlier, a wider prior, noise that it lacks), or leave the column "
            "out."
        )

    def __str__(self) -> str:
        lines = {
            "verdict": f"{self.verdict} (p {self.p_value:.{1 if self.p_value < 0.01 else 2}g})",
            "strangest": self.sentence,
            "advice": self.advice,
        }
        return "\n".join(
            textwrap.fill(text, _WIDTH, initial_indent=f"{name:<13} ", subsequent_indent=14 * " ")
            for name, text in lines.items()
        )


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
    known, seen = np.asarray(simulated, np.float64), np.asarray(observed, np.float64)
    seen = seen[None] if seen.ndim == 1 else seen
    _check(known, seen, columns)
    rng = np.random.default_rng(seed)
    known = known[rng.permutation(len(known))[:_MOST]]
    half = len(known) // 2
    frame, rest = find_frame(known[:half]), known[half:]
    reach = find_reach(frame, known[:half])
    measures = {
        "mahalanobis": frame.measure_mahalanobis,
        "neighbours": frame.measure_neighbours,
        "columns": reach.measure_worst,
    }
    distances = {name: measure(seen) for name, measure in measures.items()}
    held_out = {name: measure(rest) for name, measure in measures.items()}
    p_values = _rank_together(*(np.stack(list(each.values())) for each in (distances, held_out)))
    set_p = 1.0
    if len(seen) > 1:
        inside = frame.whiten(seen)
        inside = inside[np.isfinite(inside).all(1)]
        set_p = compare_samples(frame.whiten(rest), inside, rng) if len(inside) > 1 else set_p
    width = seen.shape[1]
    names = [f"'{name}'" for name in columns] if columns else [f"column {j}" for j in range(width)]
    which = int(np.lexsort((-distances["mahalanobis"], p_values))[0])
    if set_p < len(seen) * p_values.min():
        sentence = describe_set(frame, rest, seen, names)
    else:
        sentence = reach.describe(seen[which], names)
        sentence = f"observation {which}: {sentence}" if len(seen) > 1 else sentence
    column = np.array([reach.find_strangest(row)[0] for row in seen])
    return Surprise(distances, held_out, p_values, set_p, column, sentence)


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


def _check(known: np.ndarray, seen: np.ndarray, columns: Sequence[str] | None) -> None:
    """Refuse what does not fit together."""
    if known.ndim != 2 or seen.ndim != 2 or known.shape[1] != seen.shape[1] or not len(seen):
        raise ValueError(
            f"measure_surprise: simulated has shape {known.shape} and observed {seen.shape}; "
            "expected [simulation, width] and [width]. Flatten what an observation has: "
            "simulated.reshape(len(simulated), -1)."
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
    if not (np.isfinite(known).all() and np.isfinite(seen).all()):
        raise ValueError(
            "measure_surprise: a value is NaN or infinite; expected finite numbers. Leave these "
            "rows out, and ask why the simulator makes them."
        )
