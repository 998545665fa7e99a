"""How far observations lie from what was simulated, as numbers and words."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Surprise"]

_WIDTH = 88
_ALARM = 0.01


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
        >>> from ppl_ext.calibration import measure_surprise
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
