"""Pictures of a retrieval: predicted spectrum, pairs of parameters, coverage of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.exoplanet.data import PARAMETERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from models.exoplanet.assessment import Assessment
    from ppl_ext.draws import Draws

__all__ = ["CORNER", "draw_corner", "draw_coverage", "draw_spectrum"]

# What a spectrum of this range tells most about.
CORNER = (
    *("radius", "temperature", "log_H2O", "log_CO2", "log_SO2"),
    *("log_cloud_pressure", "cloud_cover", "log_inflation"),
)
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#666666"
_MASSES = {0.95: "#D3E5F0", 0.68: "#A6CBE3"}


def draw_spectrum(
    wavelength: np.ndarray,
    error: np.ndarray,
    depth: np.ndarray,
    draws: Mapping[str, np.ndarray],
    *,
    title: str = "",
    seed: int = 0,
) -> Figure:
    """Draw a spectrum, the bands in which the posterior expects its depths, and the residuals.

    Args:
        wavelength: ``[bin]``, micrometres.
        error: ``[bin]``, stated errors, fractions.
        depth: ``[bin]``, fractions.
        draws: ``{"mean_depth": [draw, bin], "log_inflation": [draw]}`` of the posterior.
        title: Title of the picture.
        seed: Seed of the noise that the bands include.

    Returns:
        The figure.
    """
    # A figure made without pyplot leaves the user's figures and settings alone.
    from matplotlib.figure import Figure

    wavelength, error, depth = (np.asarray(each) for each in (wavelength, error, depth))
    mean = np.asarray(draws["mean_depth"], dtype=float)
    inflation = 10 ** np.asarray(draws["log_inflation"], dtype=float)
    noise = np.random.default_rng(seed).normal(size=mean.shape)
    predicted = mean + noise * error * inflation[:, None]
    middle = np.median(mean, 0)
    bands = {
        mass: np.quantile(predicted, [(1 - mass) / 2, (1 + mass) / 2], axis=0) for mass in _MASSES
    }

    figure = Figure(figsize=(10, 6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.5, 1))
    for ax, less in ((top, np.zeros_like(middle)), (bottom, middle)):
        for mass, (low, high) in bands.items():
            label = f"{mass:.0%} of new spectra" if ax is top else None
            ax.fill_between(
                *(wavelength, 1e6 * (low - less), 1e6 * (high - less)),
                **{"color": _MASSES[mass], "linewidth": 0, "label": label},
            )
        ax.plot(wavelength, 1e6 * (middle - less), color=_BLUE, label="median of the model")
        ax.errorbar(
            *(wavelength, 1e6 * (depth - less)),
            yerr=1e6 * error,
            **{"fmt": ".", "color": "black", "ecolor": _GREY, "elinewidth": 0.8, "markersize": 4},
            label="spectrum with its stated errors",
        )
        ax.spines[["top", "right"]].set_visible(False)
    rms = 1e6 * np.sqrt(np.mean((depth - middle) ** 2))
    top.set(ylabel="transit depth (ppm)", title=title)
    top.legend(frameon=False, loc="upper left", ncols=2)
    bottom.set(xlabel="wavelength (um)", ylabel="residual (ppm)")
    bottom.set_title(
        f"residuals {rms:.0f} ppm rms; errors {np.median(inflation):.2f} times the stated ones",
        fontsize="medium",
    )
    return figure


def draw_corner(
    posteriors: Mapping[str, Draws],
    truth: Mapping[str, float] | None = None,
    sites: Sequence[str] = CORNER,
) -> Figure:
    """Draw all pairs of some parameters, with lines at the truth.

    Args:
        posteriors: ``{label: draws}``, the reference first.
        truth: ``{site: value}``; None where nobody knows it.
        sites: Up to eight parameters.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    from ppl_ext.plots import plot_pair_overlay

    side = 2 + 1.6 * len(sites)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots(len(sites), len(sites), squeeze=False)
    plot_pair_overlay(posteriors, axes, sites=sites)
    labels = {each.name: f"{each.name}\n({each.unit})" for each in PARAMETERS}
    line = {"color": _ORANGE, "linewidth": 1}
    for row, across in enumerate(sites):
        for column, along in enumerate(sites[: row + 1]):
            if truth is not None:
                axes[row, column].axvline(truth[along], **line)
            if truth is not None and row != column:
                axes[row, column].axhline(truth[across], **line)
            axes[row, column].tick_params(labelsize="small")
        if row:
            axes[row, 0].set_ylabel(labels[across], fontsize="small")
        axes[-1, row].set_xlabel(labels[across], fontsize="small")
    if truth is not None:
        figure.suptitle("lines: the truth", color=_ORANGE)
    return figure


def draw_coverage(assessment: Assessment, tolerance: float = 0.05) -> Figure:
    """Draw how often central intervals of every parameter hold the truth, less their level.

    Args:
        assessment: Of posteriors of simulated spectra.
        tolerance: Where the dotted lines are.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    from ppl_ext.plots import plot_expected_coverage

    figure = Figure(figsize=(12, 10), layout="constrained")
    axes = figure.subplots(4, 4, sharex=True, sharey=True).ravel()
    for ax, (name, coverage) in zip(axes, assessment.coverage.items(), strict=True):
        plot_expected_coverage(coverage, ax)
        ax.get_legend().remove()
        for end in (-tolerance, tolerance):
            ax.axhline(end, color=_ORANGE, linestyle=":", linewidth=1)
        ax.set(xlabel="", ylabel="")
        ax.set_title(f"{name}, {coverage.largest_gap:+.3f}", fontsize="medium", loc="left")
    reach = max(
        2 * tolerance, *(1.2 * abs(each.largest_gap) for each in assessment.coverage.values())
    )
    axes[0].set_ylim(-reach, reach)
    figure.supxlabel("level of central intervals")
    figure.supylabel("coverage - level")
    figure.suptitle(
        f"{assessment.calibration.num_simulations:,} simulated spectra; band: where chance alone "
        f"stays in 99 of 100 cases; dotted: {tolerance}"
    )
    return figure
