"""How much data narrow posteriors down, and whether they miss the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_ext.plots.palette import BLUE, GREY, VERMILLION, add_legend, open_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ppl_ext.calibration.contraction import Contraction

__all__ = ["plot_contraction"]

_USUAL = 2.576  # 99 % of standard normal z-scores
_REACH = 5.0


def plot_contraction(
    contraction: Contraction, element: str, ax: Axes | None = None, **style: Any
) -> Axes:
    """Plot the posterior z-score of every simulation against its contraction.

    Points on the right are posteriors that data have narrowed down, points far from the middle
    miss the truth by many of their own standard deviations. The band holds 99 of 100 z-scores of
    right normal posteriors; points beyond the axes are drawn at their edge.

    Args:
        contraction: From ``measure_contraction``.
        element: The element, such as ``theta[0]``; see ``contraction.labels``.
        ax: Axes to draw on; new ones if None.
        **style: Passed to the points.

    Returns:
        The axes.

    Raises:
        ValueError: There is no such element, or it is a constant.

    Example:
        >>> from ppl_ext.calibration import Contraction
        >>> found = Contraction({"mu": np.array([-1.1, 0.9])}, {"mu": np.array([0.4, 0.6])})
        >>> plot_contraction(found, "mu").get_ylabel()
        'posterior z-score of mu'

    References:
        Schad, Betancourt, Vasishth (2021), Toward a principled Bayesian workflow in cognitive
        science, Psychological Methods 26(1).
    """
    z_scores, shrunk = contraction.find_element(element)
    if np.isnan(shrunk).any():
        raise ValueError(
            f"plot_contraction: '{element}' is constant under the prior; expected an element that "
            f"data can narrow down. Choose another of {contraction.labels[:8]}."
        )
    ax = open_axes(ax, width=5.0, height=3.4)
    ax.axhspan(-_USUAL, _USUAL, color=GREY, alpha=0.2, linewidth=0)
    ax.axhline(0, color=GREY, linestyle=":")
    # Posteriors wider than the prior lie left of 0; far ones are drawn at the edge.
    least = min(0.0, max(-1.0, float(shrunk.min())))
    inside = (np.abs(z_scores) <= _REACH) & (shrunk >= least)
    for which, color, marker, text in (
        (inside, BLUE, "o", f"{len(z_scores):,} simulations"),
        (~inside, VERMILLION, "D", f"{np.sum(~inside):,} beyond the axes"),
    ):
        if which.any():
            ax.plot(
                np.clip(shrunk[which], least, 1),
                np.clip(z_scores[which], -_REACH, _REACH),
                **{"color": color, "marker": marker, "markersize": 3, "linestyle": "none",
                   "alpha": 0.6, "label": text, "clip_on": False, **style},
            )  # fmt: skip
    ax.set_xlim(least - 0.02, 1.02)
    ax.set_ylim(-1.1 * _REACH, 1.1 * _REACH)
    ax.set_xlabel("contraction: 1 \N{MINUS SIGN} variance / prior variance")
    ax.set_ylabel(f"posterior z-score of {element}")
    size = float(np.sqrt(np.mean(z_scores**2)))
    ax.set_title(
        f"contraction {shrunk.mean():.2f}; z-score {z_scores.mean():.2f}, "
        f"root mean square {size:.2f}",
        fontsize="medium",
        loc="left",
    )
    add_legend(ax, "upper left")
    return ax
