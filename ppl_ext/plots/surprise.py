"""Observations beside the simulations that a posterior was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.plots.palette import BLUE, GREY, VERMILLION, add_legend, open_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ppl_ext.calibration.surprise import Surprise

__all__ = ["plot_surprise"]


def plot_surprise(surprise: Surprise, ax: Axes | None = None, **style: Any) -> Axes:
    """Plot both distances of observations beside those of held-out simulations.

    To the right are observations far from the centre of the simulations, above those that lie far
    from every one of them. The lines hold 99 of 100 simulations on their lower left.

    Args:
        surprise: From ``measure_surprise``.
        ax: Axes to draw on; new ones if None.
        **style: Passed to the points of the observations.

    Returns:
        The axes.

    Example:
        >>> from ppl_ext.calibration import measure_surprise
        >>> simulated = np.random.default_rng(0).normal(size=(900, 2))
        >>> plot_surprise(measure_surprise(simulated, np.zeros(2))).get_xlabel()
        'Mahalanobis distance'
    """
    ax = open_axes(ax, width=5.0, height=3.8)
    names = ("mahalanobis", "neighbours")
    held_x, held_y = (surprise.held_out[name] for name in names)
    # Off a constant column distances are infinite: drawn at the edge.
    edge_x, edge_y = (
        1.1 * np.ma.masked_invalid(np.r_[surprise.held_out[name], surprise.distances[name]]).max()
        for name in names
    )
    x = np.minimum(surprise.distances["mahalanobis"], edge_x)
    y = np.minimum(surprise.distances["neighbours"], edge_y)
    ax.plot(
        held_x, held_y, color=BLUE, marker=".", markersize=3, linestyle="none", alpha=0.4,
        label=f"{len(held_x):,} held-out simulations",
    )  # fmt: skip
    for line, held in ((ax.axvline, held_x), (ax.axhline, held_y)):
        line(np.quantile(held, 0.99), color=GREY, linestyle=":", linewidth=1)
    ax.plot(
        x, y,
        **{"color": VERMILLION, "marker": "D", "markersize": 5, "linestyle": "none",
           "clip_on": False, "label": f"{len(x):,} observed", **style},
    )  # fmt: skip
    # Distances of strange observations are of another size.
    for scale, held, edge in ((ax.set_xscale, held_x, edge_x), (ax.set_yscale, held_y, edge_y)):
        if edge > 5 * held.max():
            scale("log")
    ax.set_xlabel("Mahalanobis distance")
    ax.set_ylabel("distance to the nearest simulations")
    ax.set_title(
        f"{surprise.verdict}: p {surprise.p_value:.2g}",
        fontsize="medium",
        color="black" if surprise.ok else VERMILLION,
        loc="left",
    )
    add_legend(ax, "best")
    return ax
