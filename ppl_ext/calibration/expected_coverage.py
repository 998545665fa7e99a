"""How often credible regions of posteriors hold the truth, on average over the prior."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.calibration.pit import place_among
from ppl_ext.calibration.sbc_tree import build_sbc_tree

if TYPE_CHECKING:
    import xarray

__all__ = ["ExpectedCoverage", "measure_expected_coverage"]

_ALARM = 0.01  # probability of an alarm where all is right
_LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True, eq=False, repr=False)
class ExpectedCoverage:
    """How often credible regions hold the truth, for every level at once.

    Of each simulation it knows the level of the smallest region that holds the truth. Where the
    posteriors are right these levels are independent and uniform, and the curve of the coverage
    over the level is their empirical distribution: the Kolmogorov-Smirnov law is that of its
    largest gap, exactly for every number of simulations, and gives the p-value and the
    simultaneous band.

    Args:
        places: ``[simulation]``, the level of the smallest region that holds the truth, in (0, 1).
        num_draws: Draws of each posterior.
        regions: What the regions are.

    Raises:
        ValueError: There are fewer than two simulations.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> print(ExpectedCoverage(rng.beta(2, 1, size=400), num_draws=99))
        verdict       overconfident (p 4e-22)
        regions       of highest density
        simulations   400, 99 draws each
        coverage      regions of 50, 80, 90 % hold 26, 68, 87 %
        largest gap   -0.25 at level 0.52; chance alone stays within 0.08 in 99 of 100
    """

    places: np.ndarray
    num_draws: int
    regions: str = "of highest density"

    def __post_init__(self) -> None:
        if len(self.places) < 2:
            raise ValueError(
                f"ExpectedCoverage: {len(self.places)} simulations tell nothing; expected 100 or "
                "more. Simulate more of them."
            )

    def __repr__(self) -> str:
        return f"ExpectedCoverage({self.verdict}, {self.num_simulations} simulations)"

    @property
    def num_simulations(self) -> int:
        """Number of simulations."""
        return len(self.places)

    @property
    def levels(self) -> np.ndarray:
        """Levels of the curve, ``[level]``."""
        return np.linspace(0, 1, 101)

    @functools.cached_property
    def coverage(self) -> np.ndarray:
        """Fraction of the truths inside the region of each level, ``[level]``."""
        inside = np.searchsorted(np.sort(self.places), self.levels, side="right")
        return inside / self.num_simulations

    def measure_band(self, probability: float = 1 - _ALARM) -> tuple[np.ndarray, np.ndarray]:
        """Find where the whole curve of right posteriors stays.

        Args:
            probability: That the curve leaves the band nowhere.

        Returns:
            Lower and upper end, each ``[level]``.
        """
        from scipy import stats

        half = float(stats.kstwo.ppf(probability, self.num_simulations))
        return np.clip(self.levels - half, 0, 1), np.clip(self.levels + half, 0, 1)

    @property
    def largest_gap(self) -> float:
        """Coverage minus level where they differ most; negative where regions are too small."""
        return self._gap[0]

    @property
    def p_value(self) -> float:
        """Probability of a gap as large where all is right."""
        return self._gap[2]

    @property
    def area(self) -> float:
        """Integral of coverage minus level over the levels above one half.

        Negative: overconfident; positive: conservative. The lower half would cancel it where
        regions do not shrink towards the point estimate.
        """
        return float(np.mean(1 - np.maximum(self.places, 0.5))) - 0.375  # what uniform places give

    @property
    def ok(self) -> bool:
        """Whether the curve stays where it stays in 99 of 100 right cases."""
        return self.p_value >= _ALARM

    @property
    def verdict(self) -> str:
        """One of ``no departure seen``, ``overconfident`` and ``conservative``."""
        if self.ok:
            return "no departure seen"
        return "overconfident" if self.area < 0 else "conservative"

    def to_datatree(self) -> xarray.DataTree:
        """The levels as ArviZ draws them: group ``prior_sbc``, variable ``level``.

        Returns:
            The tree, for ``arviz_plots.plot_ecdf_pit``.
        """
        attrs: dict[str, Any] = {"num_draws": self.num_draws, "regions": self.regions}
        return build_sbc_tree({"level": self.places}, {}, attrs)

    def __str__(self) -> str:
        levels = ", ".join(f"{100 * level:.0f}" for level in _LEVELS)
        held = ", ".join(f"{100 * np.mean(self.places <= level):.0f}" for level in _LEVELS)
        gap, where, p_value = self._gap
        chance = self.measure_band()[1][0]
        lines = {
            "verdict": f"{self.verdict} (p {p_value:.{1 if p_value < _ALARM else 2}g})",
            "regions": self.regions,
            "simulations": f"{self.num_simulations}, {self.num_draws} draws each",
            "coverage": f"regions of {levels} % hold {held} %",
            "largest gap": f"{gap:.2f} at level {where:.2f}; chance alone stays within "
            f"{chance:.2f} in 99 of 100",
        }
        return "\n".join(f"{name:<13} {text}" for name, text in lines.items())

    @functools.cached_property
    def _gap(self) -> tuple[float, float, float]:
        """The largest gap, its level, its probability."""
        from scipy import stats

        found = stats.kstest(self.places, "uniform")
        gap = float(found.statistic * found.statistic_sign)
        return gap, float(found.statistic_location), float(found.pvalue)


def measure_expected_coverage(
    log_q_truth: np.ndarray, log_q_draws: np.ndarray, *, seed: int = 0
) -> ExpectedCoverage:
    r"""Measure the coverage of highest-density regions from log densities of the posteriors.

    .. math:: c(\alpha) = E_{p(\theta, x)}\left[
        1\{\theta \in \mathrm{HDR}_q(\alpha; x)\}\right]

    The truth lies in the region of level :math:`\alpha` where fewer than that fraction of the
    posterior's own draws are denser than it. One number for all dimensions together, whatever
    they are. It does not see what moves no region as a whole: a prior in place of the posterior is
    covered as it should be (look at ``measure_contraction``).

    Args:
        log_q_truth: ``[simulation]``, :math:`\log q(\theta^* \mid x)` of the truths.
        log_q_draws: ``[simulation, draw]``, :math:`\log q(\theta \mid x)` of draws of q at the
            same data.
        seed: Of the random numbers that break ties.

    Returns:
        The coverage of every level, with its band and p-value.

    Raises:
        ValueError: Shapes that do not fit, NaN, or fewer than two simulations.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> error, draws = rng.normal(size=300), rng.normal(size=(300, 99))
        >>> measure_expected_coverage(-(error**2), -(draws**2)).ok
        True
        >>> measure_expected_coverage(-(error**2), -((draws / 2) ** 2)).verdict
        'overconfident'

    References:
        Hermans, Delaunoy, Rozet, Wehenkel, Begy, Louppe (2022), A trust crisis in
        simulation-based inference? Your posterior approximations can be unfaithful, TMLR.
        Simard, L'Ecuyer (2011), Computing the two-sided Kolmogorov-Smirnov distribution,
        Journal of Statistical Software 39(11).
    """
    true, drawn = np.asarray(log_q_truth), np.asarray(log_q_draws)
    if true.ndim != 1 or drawn.ndim != 2 or len(true) != len(drawn):
        raise ValueError(
            f"measure_expected_coverage: log_q_truth has shape {true.shape} and log_q_draws "
            f"{drawn.shape}; expected [simulation] and [simulation, draw]. Sum log densities "
            "over the sites: log_q.sum(-1)."
        )
    if np.isnan(true).any() or np.isnan(drawn).any():
        raise ValueError(
            "measure_expected_coverage: a log density is NaN; expected numbers, or -inf outside "
            "of the support. Leave these simulations out."
        )
    below = place_among(true, drawn, np.random.default_rng(seed), axis=1)
    return ExpectedCoverage(1 - below, drawn.shape[1])
