"""Colours that stay apart for colour-blind readers and in grey print, and bare axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BLUE", "DASHES", "GREY", "SERIES", "SHADES", "VERMILLION", "add_legend", "open_axes"]

# Okabe and Ito (2008), Color universal design; the reference is drawn in a neutral grey.
BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREY = "#5F5F5F"
SHADES = ("#DDDDDD", "#BFBFBF")
SERIES = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)))


def open_axes(ax: Axes | None, width: float = 6.4, height: float = 4.0) -> Axes:
    """The given axes, or new ones in a figure of their own; without the upper and right frame."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def add_legend(ax: Axes, place: str) -> None:
    """A legend without a frame that stays readable over dense lines."""
    ax.legend(loc=place, framealpha=0.85, edgecolor="none")
