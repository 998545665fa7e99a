"""The tail of the importance weights, whose shape says how far a guide can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from ppl_ext.draws.draws import Draws
from ppl_ext.draws.psis import smooth_weights
from ppl_ext.plots.palette import BLUE, GREY, VERMILLION, add_legend, open_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_khat"]

# Above it neither the guide nor its reweighted draws are of use: Vehtari et al. (2024).
_LIMIT = 0.7


def plot_khat(draws: Draws | np.ndarray, ax: Axes | None = None, **style: Any) -> Axes:
    r"""Plot how often importance weights exceed a size, with the Pareto tail fitted to them.

    Both axes are logarithmic, where a Pareto tail of shape k becomes a straight line of slope
    ``-1/k``: the flatter, the worse. A dotted line shows the tail of k = 0.7, the limit above
    which neither the guide nor its resampled draws are of use. ``arviz_plots.plot_khat`` draws
    another k-hat, that of leaving out each datum.

    Not a verdict: missed modes leave no trace in the weights.

    Args:
        draws: Raw draws, or their log importance weights ``[draw]``.
        ax: Axes to draw on; new ones if None.
        **style: Passed to the points of the weights, such as ``color`` or ``markersize``.

    Returns:
        The axes.

    Raises:
        ValueError: Resampled draws, or weights that are NaN.

    Example:
        >>> x = 1.5 * np.random.default_rng(0).normal(size=10_000)
        >>> plot_khat(-(x**2) / 2 + x**2 / 4.5).get_xlabel()
        'importance weight / mean weight'

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry (2024), Pareto smoothed importance sampling,
        JMLR 25(72).
    """
    log_weights = draws.log_weights if isinstance(draws, Draws) else np.asarray(draws)
    smoothed = smooth_weights(log_weights)
    ax = open_axes(ax)
    count = len(log_weights)
    log_mean = np.logaddexp.reduce(log_weights) - np.log(count)
    weights = np.sort(np.exp(log_weights - log_mean))[::-1]
    exceeding = np.arange(1, count + 1) / count
    tail = int(np.ceil(min(0.2 * count, 3 * np.sqrt(count))))
    # The body is drawn as far as it says something about the tail.
    shown = slice(0, max(tail, count // 2))
    ax.plot(
        weights[shown],
        exceeding[shown],
        **{"color": BLUE, "marker": ".", "markersize": 4, "linestyle": "none",
           "label": f"{count:,} draws", **style},
    )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(0.5 / count, 1.0)
    ax.set_xlabel("importance weight / mean weight")
    ax.set_ylabel("fraction of draws above")
    if np.isfinite(smoothed.khat):
        _draw_tail(ax, weights[: tail + 1], count, smoothed.khat)
        good = smoothed.khat < _LIMIT
        title = (
            rf"$\hat{{k}}$ = {smoothed.khat:.2f}, {'below' if good else 'above'} the limit of "
            f"{_LIMIT}; effective draws {smoothed.ess:,.0f} of {count:,}"
        )
    elif smoothed.khat < 0:
        good, title = True, "all weights are equal: there is no tail"
        ax.set_xlim(0.1, 10)
    else:
        good, title = False, "no Pareto tail fits: a few weights outweigh all others"
    ax.set_title(title, fontsize="medium", color="black" if good else VERMILLION, loc="left")
    add_legend(ax, "upper right")
    return ax


def _draw_tail(ax: Axes, tail: np.ndarray, count: int, khat: float) -> None:
    """The fitted generalised Pareto tail, and the one of the limit from the same cutoff.

    Args:
        ax: Axes with both scales logarithmic.
        tail: The largest weights, falling; the last one is the cutoff.
        count: Number of all draws.
        khat: Shape of the tail.
    """
    excess = tail[:-1] - tail[-1]
    excess = excess[excess > 0]
    fraction = (len(tail) - 1) / count
    grid = np.geomspace(tail[-1], 3 * tail[0], 200)
    ax.axvline(
        tail[-1], color=GREY, linewidth=0.8, alpha=0.6, label=f"largest {len(tail) - 1} draws"
    )
    for shape, color, dash, label in (
        (khat, VERMILLION, "-", rf"Pareto tail, $\hat{{k}}$ = {khat:.2f}"),
        (_LIMIT, GREY, ":", f"tail of k = {_LIMIT}, the limit"),
    ):
        _, _, scale = stats.genpareto.fit(excess, f0=shape, floc=0)
        survival = fraction * stats.genpareto.sf(grid - tail[-1], shape, scale=scale)
        visible = survival > 0
        ax.plot(grid[visible], survival[visible], color=color, linestyle=dash, label=label)
