"""How often credible regions of simulated data hold the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.plots.palette import BLUE, GREY, VERMILLION, add_legend, open_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ppl_ext.calibration.expected_coverage import ExpectedCoverage

__all__ = ["plot_expected_coverage"]


def plot_expected_coverage(
    coverage: ExpectedCoverage, ax: Axes | None = None, **style: Any
) -> Axes:
    """Plot the expected coverage of credible regions less their level, over the level.

    On the line at zero regions hold what they promise, below it they are too small
    (overconfident), above it too large (conservative). Regions about random points shrink to no
    centre: there a curve that falls below the line on the right has risen above it on the left.
    The band holds the whole curve of right posteriors in 99 of 100 cases.

    Args:
        coverage: From ``measure_expected_coverage`` or ``measure_tarp``.
        ax: Axes to draw on; new ones if None.
        **style: Passed to the curve, such as ``color`` or ``label``.

    Returns:
        The axes.

    Example:
        >>> from ppl_ext.calibration import ExpectedCoverage
        >>> even = ExpectedCoverage((np.arange(200) + 0.5) / 200, num_draws=99)
        >>> plot_expected_coverage(even).get_xlabel()
        'level of regions of highest density'

    References:
        Hermans, Delaunoy, Rozet, Wehenkel, Begy, Louppe (2022), A trust crisis in
        simulation-based inference? Your posterior approximations can be unfaithful, TMLR.
        Lemos, Coogan, Hezaveh, Perreault-Levasseur (2023), Sampling-based accuracy testing of
        posterior estimators for general inference, ICML.
    """
    ax = open_axes(ax, width=5.0, height=3.4)
    low, high = (end - coverage.levels for end in coverage.measure_band())
    ax.fill_between(coverage.levels, low, high, color=GREY, alpha=0.2, linewidth=0)
    ax.axhline(0, color=GREY, linestyle=":", label="as promised")
    places = np.sort(coverage.places)
    # Every step of the curve, so that the largest gap is drawn where it is.
    steps = np.r_[0.0, np.repeat(places, 2), 1.0]
    held = np.repeat(np.arange(len(places) + 1), 2) / len(places)
    label = f"{coverage.num_simulations:,} simulations"
    ax.plot(steps, held - steps, **{"color": BLUE, "label": label, **style})
    ax.set_xlim(0, 1)
    reach = 1.15 * max(float(high.max()), abs(coverage.largest_gap))
    ax.set_ylim(-reach, 1.5 * reach)  # the legend stands above the band
    ax.set_xlabel(f"level of regions {coverage.regions}")
    ax.set_ylabel("coverage \N{MINUS SIGN} level")
    ax.set_title(
        f"{coverage.verdict}: largest gap {coverage.largest_gap:+.2f}, p {coverage.p_value:.2g}",
        fontsize="medium",
        color="black" if coverage.ok else VERMILLION,
        loc="left",
    )
    add_legend(ax, "upper right")
    return ax
