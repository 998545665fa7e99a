"""The demonstration in pictures: the marginals of each method, and their pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.commands.demo.problem import Entry, Problem
from ppl_ext.draws.datatree import build_tree

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_pictures"]

_COLUMNS = 5
# Times the height of the reference.
_TALLEST = 3


def draw_pictures(problem: Problem, entries: Sequence[Entry], folder: Path) -> list[Path]:
    """Draw marginals and pairs, and write them as PNG.

    Args:
        problem: What was fitted.
        entries: One for each method; the one without a report (NUTS) is the reference.
        folder: Where to write.

    Returns:
        The files.
    """
    entries = sorted(entries, key=lambda entry: entry.report is not None)
    posteriors = {entry.method: build_tree(problem.split(entry.values)) for entry in entries}
    figures = {
        "posterior": _draw_marginals(problem, posteriors),
        "pairs": _draw_pairs(problem, posteriors),
    }
    written = []
    for name, figure in figures.items():
        written.append(folder / f"{problem.name}_{name}.png")
        figure.savefig(written[-1], dpi=150)
    return written


def _open_figure(width: float, height: float, title: str) -> Figure:
    # A figure made without pyplot leaves the user's figures and settings alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, horizontalalignment="left")
    return figure


def _draw_marginals(problem: Problem, posteriors: dict[str, xarray.DataTree]) -> Figure:
    from ppl_ext.plots import plot_marginal_overlay

    known = problem.split(problem.reference.mean)
    columns = min(_COLUMNS, len(known))
    rows = math.ceil(len(known) / columns)
    figure = _open_figure(max(7.5, 2.6 * columns), 0.7 + 2.3 * rows, f"{problem.title}: marginals")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for ax, (label, mean) in zip(panels, known.items(), strict=True):
        plot_marginal_overlay(posteriors, ax, site=label)
        ax.axvline(mean, color="black", linewidth=0.8, linestyle=":", label="published mean")
        handles, labels = ax.get_legend_handles_labels()
        ax.get_legend().remove()
        _cut_spikes(ax)
        ax.set_yticks([])
        ax.set_ylabel("")
        ax.spines["left"].set_visible(False)
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _draw_pairs(problem: Problem, posteriors: dict[str, xarray.DataTree]) -> Figure:
    from ppl_ext.plots import plot_pair_overlay

    side = len(problem.pair)
    size = 2.2 * max(side, 3)  # of two sites as large as of three, beside the legend
    figure = _open_figure(1.0 + size, 0.8 + size, f"{problem.title}: pairs")
    axes = plot_pair_overlay(posteriors, figure.subplots(side, side), sites=problem.pair)
    for ax in axes.diagonal():
        _cut_spikes(ax)
    return figure


def _cut_spikes(ax: Axes) -> None:
    """Let a density that is far too narrow leave the picture, so that the others stay visible."""
    reference = np.max(ax.lines[0].get_ydata())
    ax.set_ylim(0, min(ax.get_ylim()[1], _TALLEST * reference))
