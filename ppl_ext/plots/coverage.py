"""How often intervals hold what they promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.plots.palette import BLUE, GREY, VERMILLION, add_legend, open_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ppl_ext.factorization.result.assessment import Assessment

__all__ = ["plot_coverage"]


def plot_coverage(assessment: Assessment, ax: Axes | None = None, **style: Any) -> Axes:
    """Plot the fraction of ratings in intervals of every level against the level.

    Above the diagonal intervals are too wide, below it too narrow. The band is three standard
    errors wide to either side: what chance alone explains. Not for fitted ratings, which lie in
    their intervals too often.

    Args:
        assessment: Predictions of ratings that were set aside, from ``Factors.assess``.
        ax: Axes to draw on; new ones if None.
        **style: Passed to the line of the fractions, such as ``color`` or ``label``.

    Returns:
        The axes.

    Example:
        >>> from ppl_ext.factorization import Assessment
        >>> even = {level: level for level in (0.1, 0.5, 0.9)}
        >>> plot_coverage(Assessment(100, 0.9, 0.7, 1.3, even)).get_ylabel()
        'fraction of ratings inside'
    """
    ax = open_axes(ax, width=4.4, height=4.2)
    levels = np.array(sorted(assessment.coverage))
    fractions = np.array([assessment.coverage[level] for level in levels])
    grid = np.linspace(0, 1, 101)
    chance = 3 * np.sqrt(grid * (1 - grid) / assessment.count)
    ax.fill_between(grid, grid - chance, grid + chance, color=GREY, alpha=0.2, linewidth=0)
    ax.plot(grid, grid, color=GREY, linestyle=":", label="as promised")
    label = f"{assessment.count:,} ratings"
    ax.plot(levels, fractions, **{"color": BLUE, "marker": "o", "markersize": 4, "label": label,
                                  **style})  # fmt: skip
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("level of the interval")
    ax.set_ylabel("fraction of ratings inside")
    ax.set_title(
        f"RMSE {assessment.rmse:.3f}, negative log-likelihood {assessment.nll:.3f}",
        fontsize="medium",
        color="black" if assessment.ok else VERMILLION,
        loc="left",
    )
    add_legend(ax, "upper left")
    return ax
