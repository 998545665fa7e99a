"""Whether point estimates are right on average."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.plots.palette import BLUE, GREY, VERMILLION, add_legend, open_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ppl_ext.calibration.result import Calibration

__all__ = ["plot_vsbc"]

_ALARM = 0.01


def plot_vsbc(
    calibration: Calibration, element: str, ax: Axes | None = None, **style: Any
) -> Axes:
    """Plot where simulated truths lie among the draws, beside the mirror image.

    Even bars: the fits are calibrated. A hump in the middle: too wide; walls at the ends: too
    narrow; a slope: to one side. Bars that match their mirror image: the centre is right on
    average, whatever the width (variational simulation-based calibration). The band is what
    chance alone gives in 99 of 100 bars.

    Args:
        calibration: From ``calibrate``.
        element: The element, such as ``theta[0]``; see ``calibration.departures``.
        ax: Axes to draw on; new ones if None.
        **style: Passed to the bars.

    Returns:
        The axes.

    Raises:
        ValueError: There is no such element.

    Example:
        >>> from ppl_ext.calibration import Calibration
        >>> rng = np.random.default_rng(0)
        >>> plot_vsbc(Calibration({"mu": rng.uniform(size=200)}, num_draws=99), "mu").get_ylabel()
        'simulations'

    References:
        Yao, Vehtari, Simpson, Gelman (2018), Yes, but did it work?: evaluating variational
        inference, ICML.
    """
    from scipy import stats

    places = calibration.find_places(element)
    count = len(places)
    bars = int(np.clip(count // 10, 5, 20))
    ax = open_axes(ax, width=5.0, height=3.4)
    heights, edges = np.histogram(places, bins=bars, range=(0, 1))
    low, high = stats.binom.interval(0.99, count, 1 / bars)
    ax.axhspan(low, high, color=GREY, alpha=0.2, linewidth=0)
    ax.bar(
        edges[:-1], heights, width=1 / bars, align="edge",
        **{"color": BLUE, "alpha": 0.6, "label": f"{count:,} simulations", **style},
    )  # fmt: skip
    ax.stairs(heights[::-1], edges, color=VERMILLION, linestyle="--", label="mirror image")
    departure = calibration.departures[element]
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.25 * max(heights.max(), high))
    ax.set_xlabel(f"share of draws of {element} below the truth")
    ax.set_ylabel("simulations")
    ax.set_title(
        f"uniform: p {departure.p_value:.2g}, symmetric: p {departure.symmetry_p:.2g}",
        fontsize="medium",
        color="black" if departure.p_value >= _ALARM else VERMILLION,
        loc="left",
    )
    add_legend(ax, "upper right")
    return ax
