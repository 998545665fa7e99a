"""The ELBO over the steps of a fit."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.plots.palette import BLUE, GREY, VERMILLION, add_legend, open_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_elbo"]

# Shorter traces come from solvers without noise and show every step.
_NOISY = 200


def plot_elbo(log: FitLog, ax: Axes | None = None, **style: Any) -> Axes:
    """Plot the ELBO of every step, its running mean, the plateaus and the end.

    The vertical axis shows what happens after the first quarter of the steps, since the first
    ones lie far below. Not a proof of a good fit: an ELBO can be flat far from the posterior.

    Args:
        log: What a fit did.
        ax: Axes to draw on; new ones if None.
        **style: Passed to the line of the running mean, such as ``color`` or ``label``.

    Returns:
        The axes.

    Raises:
        ValueError: The log has no steps.

    Example:
        >>> log = FitLog(1 + np.exp(-np.arange(9.0)), "converged", True, 0.1)
        >>> plot_elbo(log).get_ylabel()
        'ELBO (nats)'
    """
    from matplotlib.ticker import MaxNLocator

    count = len(log.losses)
    if not count:
        raise ValueError(
            "plot_elbo: the log has no steps (the fit was interrupted in its first chunk). "
            "Fit again and let it make some steps."
        )
    ax = open_axes(ax)
    elbo = -np.asarray(log.losses, dtype=np.float64)
    steps = np.arange(1, count + 1)
    style = {"color": BLUE, "linewidth": 1.8, **style}
    if count < _NOISY:
        ax.plot(steps, elbo, **{"marker": "o", "markersize": 4, "label": "ELBO", **style})
        shown = elbo
    else:
        width = count // 100 + 1
        shown = np.convolve(elbo, np.full(width, 1 / width), mode="valid")
        ax.plot(steps, elbo, color=style["color"], alpha=0.25, linewidth=0.5, label="every step")
        ax.plot(
            steps[width // 2 : width // 2 + len(shown)],
            shown,
            **{"label": f"mean of {width} steps", **style},
        )
    for number, step in enumerate(log.plateaus):
        ax.axvline(
            step, color=GREY, linestyle=":", linewidth=1.2, label=None if number else "plateau"
        )
    short_reason = textwrap.shorten(log.reason.partition(" (")[0], 40, placeholder=" ...")
    ax.plot(
        steps[-1],
        shown[-1],
        marker="s",
        markersize=7,
        linestyle="none",
        color=VERMILLION,
        zorder=4,
        clip_on=False,
        label=f"end: {short_reason}",
    )
    late = elbo[count // 4 :]
    low, high = np.quantile(late, [0.005, 0.995]) if count >= _NOISY else (late.min(), late.max())
    margin = 0.15 * max(high - low, 1e-3 * abs(high), 1e-9)
    bottom = low - 2 * margin
    ax.set_ylim(bottom, high + margin)
    if elbo[0] < bottom:
        ax.annotate(
            f"starts at {elbo[0]:,.0f}".replace("-", "\N{MINUS SIGN}"),
            (0.015, 0.025),
            xycoords="axes fraction",
            color=GREY,
            fontsize="small",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
        )
    ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("step")
    ax.set_ylabel("ELBO (nats)")
    add_legend(ax, "lower right")
    return ax
