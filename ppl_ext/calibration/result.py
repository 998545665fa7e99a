"""What a calibration answers."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.calibration.pit import pair_up, place_among
from ppl_ext.calibration.sbc_tree import build_sbc_tree
from ppl_ext.calibration.uniformity import Departure, measure_departure
from ppl_ext.diagnostics.moments import label_elements

if TYPE_CHECKING:
    import xarray

__all__ = ["Calibration"]

_WIDTH = 88
_MOST_LINES = 8
_ALARM = 0.01  # probability of an alarm where all is right, over all elements together
_LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """Where simulated truths lie among the draws of fits to their data.

    Right fits leave them uniform, element by element. What holds on average over the prior need
    not hold for the data at hand; what does not hold on average is wrong somewhere.

    Args:
        pit: ``{quantity: array[simulation, ...]}``, places in (0, 1): latent and deterministic
            sites, and the log likelihood of all data where no site is summed out.
        num_draws: Draws of each fit.
        dims: ``{site: names}`` of the leading axes of a value.
        verdicts: ``{verdict: number of fits}``.
        ended: Why it ended.

    Raises:
        ValueError: There are fewer than two simulations.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> narrow = Calibration({"mu": rng.beta(0.3, 0.3, size=100)}, num_draws=400)
        >>> print(narrow)
        verdict       not calibrated
        simulations   100, 400 draws each
        mu            too narrow (p 6e-54); intervals of 50, 80, 90 % hold 14, 38, 54 %
    """

    pit: Mapping[str, np.ndarray]
    num_draws: int
    dims: Mapping[str, Sequence[str]] = field(default_factory=dict)
    verdicts: Mapping[str, int] = field(default_factory=dict)
    ended: str = ""

    def __post_init__(self) -> None:
        if self.num_simulations < 2:
            raise ValueError(
                f"Calibration: {self.num_simulations} simulations tell nothing; expected 20 or "
                "more. Ask for more: num_simulations=100."
            )

    def __repr__(self) -> str:
        return f"Calibration({self.verdict}, {self.num_simulations} simulations)"

    @classmethod
    def from_draws(
        cls,
        truths: Mapping[str, np.ndarray],
        draws: Mapping[str, np.ndarray],
        *,
        dims: Mapping[str, Sequence[str]] | None = None,
        seed: int = 0,
    ) -> Calibration:
        """Place all truths at once among draws that somebody else has made.

        For amortized posteriors: simulate, draw from the posterior of every simulation, compare.

        Args:
            truths: ``{quantity: array[simulation, ...]}``, from the prior.
            draws: ``{quantity: array[simulation, draw, ...]}``, from the posteriors of data that
                were simulated from these truths; quantities that only one of both has are left
                out. Beside sites any function of truth and data may stand here, such as
                ``log likelihood``, which tells a posterior from its prior.
            dims: ``{site: names}`` of the leading axes of a value.
            seed: Of the random numbers that break ties.

        Returns:
            The calibration.

        Raises:
            ValueError: Names or shapes do not fit, or there are fewer than two simulations.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> mu = rng.normal(size=(300, 1))
            >>> y = rng.normal(mu)
            >>> exact = y / 2 + np.sqrt(0.5) * rng.normal(size=(300, 99))
            >>> found = Calibration.from_draws({"mu": mu[:, 0]}, {"mu": exact})
            >>> found.ok, found.num_draws
            (True, 99)
        """
        pairs = pair_up("Calibration.from_draws", truths, draws)
        rng = np.random.default_rng(seed)
        pit = {name: place_among(*pair, rng, axis=1) for name, pair in pairs.items()}
        num_draws = min(drawn.shape[1] for _, drawn in pairs.values())
        return cls(pit, num_draws, dict(dims or {}))

    @property
    def num_simulations(self) -> int:
        """Number of simulated data sets that were fitted."""
        return min((len(places) for places in self.pit.values()), default=0)

    @functools.cached_property
    def departures(self) -> dict[str, Departure]:
        """How each element departs from uniform, the most surprising one first."""
        columns = _flatten(self.pit, keep=1)
        found = {
            label: measure_departure(column)
            for label, column in zip(label_elements(self.pit), columns.T, strict=True)
        }
        return dict(sorted(found.items(), key=lambda item: item[1].p_value))

    def find_places(self, element: str) -> np.ndarray:
        """The places of one element.

        Args:
            element: Its name, such as ``theta[0]``.

        Returns:
            ``[simulation]``.

        Raises:
            ValueError: There is no such element.
        """
        labels = label_elements(self.pit)
        if element not in labels:
            known = ", ".join(f"'{label}'" for label in labels[:_MOST_LINES])
            raise ValueError(
                f"Calibration.find_places: element = {element!r}; expected one of {known}"
                f"{' ...' * (len(labels) > _MOST_LINES)}, such as find_places({labels[0]!r})."
            )
        places: np.ndarray = _flatten(self.pit, keep=1)[:, labels.index(element)]
        return places

    @property
    def ok(self) -> bool:
        """Whether no element departs further than chance lets one in a hundred calibrations."""
        return self._adjust(next(iter(self.departures.values())).p_value) >= _ALARM

    @property
    def verdict(self) -> str:
        """One of ``no departure seen`` and ``not calibrated``."""
        return "no departure seen" if self.ok else "not calibrated"

    def measure_coverage(self, level: float) -> dict[str, np.ndarray]:
        """How often central intervals hold the truth.

        Args:
            level: Probability of the interval, in (0, 1).

        Returns:
            ``{quantity: array[...]}``, fractions of the simulations.

        Example:
            >>> even = Calibration({"mu": (np.arange(100) + 0.5) / 100}, num_draws=99)
            >>> float(even.measure_coverage(0.9)["mu"])
            0.9
        """
        return {
            name: (np.abs(places - 0.5) <= level / 2).mean(0) for name, places in self.pit.items()
        }

    def to_datatree(self) -> xarray.DataTree:
        """The places as ArviZ draws them: group ``prior_sbc``, one draw for each simulation.

        ``arviz_plots.plot_ecdf_pit(tree)`` shows the difference to the uniform distribution with
        its simultaneous band, and with ``coverage=True`` the coverage of central intervals. ArviZ
        0.8 stretches the axis up to the largest place: where all truths lie low it looks right.
        ``plot_expected_coverage(measure_interval_coverage(...))`` does not.

        Returns:
            The tree.
        """
        attrs = {"num_draws": self.num_draws, "ended": self.ended}
        return build_sbc_tree(self.pit, self.dims, attrs)

    def __str__(self) -> str:
        lines = [
            ("verdict", self.verdict),
            ("simulations", f"{self.num_simulations}, {self.num_draws} draws each"),
        ]
        if self.verdicts:
            counted = ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.items())
            lines.append(("of the fits", counted))
        labels = label_elements(self.pit)
        inside = {
            level: dict(zip(labels, _flatten(self.measure_coverage(level)), strict=True))
            for level in _LEVELS
        }
        levels = ", ".join(f"{100 * level:.0f}" for level in _LEVELS)
        for label in list(self.departures)[:_MOST_LINES]:
            held = ", ".join(f"{100 * inside[level][label]:.0f}" for level in _LEVELS)
            text = f"{self._describe(label)}; intervals of {levels} % hold {held} %"
            lines.append((label, text))
        if len(labels) > _MOST_LINES:
            lines.append(("", f"and {len(labels) - _MOST_LINES} more, none of them worse"))
        if self.ended:
            lines.append(("ended", self.ended))
        return "\n".join(
            textwrap.fill(text, _WIDTH, initial_indent=f"{name:<13} ", subsequent_indent=14 * " ")
            for name, text in lines
        )

    def _adjust(self, p_value: float) -> float:
        return min(1.0, p_value * len(self.departures))

    def _describe(self, label: str) -> str:
        """The departure of one element in words."""
        departure = self.departures[label]
        p_value = self._adjust(departure.p_value)
        if p_value >= _ALARM:
            return f"uniform as far as one sees (p {p_value:.2g})"
        ways = {
            "too narrow" if departure.spread > 1 else "too wide": departure.spread_p,
            "too low" if departure.bias > 0 else "too high": departure.bias_p,
            "of another shape": departure.shape_p,
        }
        word = min(ways, key=lambda way: ways[way])
        skew = " and one-sided" if departure.symmetry_p < _ALARM and "too" in word else ""
        skew = "" if word in ("too low", "too high") else skew
        return f"{word}{skew} (p {p_value:.1g})"


def _flatten(arrays: Mapping[str, np.ndarray], keep: int = 0) -> np.ndarray:
    """All elements side by side, behind the axes to keep."""
    return np.concatenate(
        [array.reshape(*array.shape[:keep], -1) for array in arrays.values()], axis=-1
    )
