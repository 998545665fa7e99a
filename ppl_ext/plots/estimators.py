"""Bias against variance of gradient estimators."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ppl_ext.plots.palette import BLUE, GREY, VERMILLION, add_legend, open_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ppl_ext.estimators.comparison import EstimatorReport

__all__ = ["plot_estimators"]

_CLOSE = 1.15  # ratio of deviations whose names would overlap


def plot_estimators(report: EstimatorReport, ax: Axes | None = None, **style: Any) -> Axes:
    """Plot the bias of each estimator against the variance of its estimates.

    Both are relative to the length of the gradient. Where no bias was found the marker is open
    and stands at what would have been found. On the dotted line bias and standard deviation are
    equal: right of it, more estimates do not help. Not for estimators without any variance,
    which are left out.

    Args:
        report: Estimators of one gradient.
        ax: Axes to draw on; new ones if None.
        **style: Passed to the markers, such as ``s`` or ``alpha``.

    Returns:
        The axes.

    Example:
        >>> from ppl_ext.estimators import EstimatorReport, EstimatorAccuracy
        >>> row = EstimatorAccuracy("ReinMax()", 0.01, 1e-4, 0.3, 0.1, 0.02, 1.0, 1, 1e-6)
        >>> plot_estimators(EstimatorReport((row,), 1.5, 1.0, 10_000)).get_xlabel()
        'bias / length of the gradient'
    """
    from matplotlib.ticker import LogLocator, NullLocator

    ax = open_axes(ax, width=7.2, height=4.6)
    rows = [row for row in report.rows if row.variance > 0 and report.gradient_norm > 0]
    rows.sort(key=lambda row: row.variance)
    named: set[str] = set()
    before = 0.0
    for row in rows:
        color = BLUE if row.evaluations == 1 else VERMILLION
        words = "one evaluation" if row.evaluations == 1 else "several evaluations"
        bias = row.relative_bias if row.biased else row.relative_bias_error
        deviation = math.sqrt(row.variance) / report.gradient_norm
        marker = {"s": 36, "edgecolors": color, "facecolors": color if row.biased else "none"}
        label = None if words in named else words
        named.add(words)
        ax.scatter([bias], [deviation], label=label, **{**marker, **style})
        # Names of neighbours go to either side.
        left = deviation < _CLOSE * before
        ax.annotate(
            row.name.split("(")[0],
            (bias, deviation),
            xytext=(-6, 0) if left else (6, 0),
            ha="right" if left else "left",
            va="center",
            textcoords="offset points",
            fontsize="small",
        )
        before = 0.0 if left else deviation
    if not all(row.biased for row in rows):
        ax.scatter([], [], s=36, edgecolors=GREY, facecolors="none", label="open: no bias found")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.margins(x=0.25, y=0.15)
    low = max(ax.get_xlim()[0], ax.get_ylim()[0])
    high = min(ax.get_xlim()[1], ax.get_ylim()[1])
    if low < high:
        ax.plot([low, high], [low, high], color=GREY, linestyle=":", label="bias = deviation")
    ax.set_xlabel("bias / length of the gradient")
    ax.set_ylabel("standard deviation / length of the gradient")
    add_legend(ax, "best")
    return ax
