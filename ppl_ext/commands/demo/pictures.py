"""The demonstration in pictures: posteriors, pairs, the way of the fit, and the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.commands.demo.problem import Entry, Judgement, Problem
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
    """Draw marginals, pairs, ELBO traces and importance weights, and write them as PNG.

    Args:
        problem: What was fitted.
        entries: One for each method; the one that is not judged (NUTS) is the reference.
        folder: Where to write.

    Returns:
        The files.
    """
    entries = sorted(entries, key=lambda entry: entry.judgement is not None)
    posteriors = {entry.method: build_tree(problem.split(entry.values)) for entry in entries}
    judged = {entry.method: entry.judgement for entry in entries if entry.judgement}
    best, judgement = list(judged.items())[-1]
    if judgement.report.resampled_ok and not judgement.report.ok:
        corrected = judgement.draws.resample(seed=0).values
        posteriors[f"{best}, resampled"] = build_tree(problem.split(corrected))
    figures = {
        "posterior": _draw_marginals(problem, posteriors),
        "pairs": _draw_pairs(problem, posteriors),
        "elbo": _draw_traces(problem, judged),
        "weights": _draw_weights(problem, judged),
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
    rows = math.ceil(len(known) / _COLUMNS)
    figure = _open_figure(2.6 * _COLUMNS, 0.7 + 2.3 * rows, f"{problem.title}: marginals")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flat
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
    figure = _open_figure(1.0 + 2.2 * side, 0.8 + 2.2 * side, f"{problem.title}: pairs")
    axes = plot_pair_overlay(posteriors, figure.subplots(side, side), sites=problem.pair)
    for ax in axes.diagonal():
        _cut_spikes(ax)
    return figure


def _cut_spikes(ax: Axes) -> None:
    """Let a density that is far too narrow leave the picture, so that the others stay visible."""
    reference = np.max(ax.lines[0].get_ydata())
    ax.set_ylim(0, min(ax.get_ylim()[1], _TALLEST * reference))


def _draw_traces(problem: Problem, judged: Mapping[str, Judgement]) -> Figure:
    from ppl_ext.plots import plot_elbo

    figure = _open_figure(5.2 * len(judged), 4.2, f"{problem.title}: evidence lower bound")
    reports = {method: judgement.report for method, judgement in judged.items()}
    evidence = list(reports.values())[-1].details.log_evidence
    ends = [evidence, *(-report.details.log.losses[-1] for report in reports.values())]
    gap = max(ends) - min(ends)
    panels = figure.subplots(1, len(judged), sharey=True, squeeze=False).flat
    for ax, (method, report) in zip(panels, reports.items(), strict=True):
        plot_elbo(report.details.log, ax)
        ax.axhline(evidence, color="black", linestyle=":", linewidth=1, label="log evidence")
        ax.set_ylim(min(ends) - 3 * gap, max(ends) + gap / 2)
        ax.set_title(method, loc="left")
        ax.legend(loc="lower right", frameon=False)
    return figure


def _draw_weights(problem: Problem, judged: Mapping[str, Judgement]) -> Figure:
    from ppl_ext.plots import plot_khat

    figure = _open_figure(5.2 * len(judged), 4.2, f"{problem.title}: importance weights")
    panels = figure.subplots(1, len(judged), squeeze=False).flat
    for ax, (method, judgement) in zip(panels, judged.items(), strict=True):
        plot_khat(judgement.draws, ax)
        ax.set_title(f"{method}\n{ax.get_title(loc='left')}", loc="left", fontsize="medium")
    return figure
