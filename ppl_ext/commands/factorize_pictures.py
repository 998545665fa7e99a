"""A fit in pictures: how it climbed, what its intervals cover, and who likes what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ppl_ext.commands.factorize_report import Trial
from ppl_ext.factorization.result.assessment import Assessment
from ppl_ext.factorization.result.biclusters import predict_blocks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_trial"]

_DPI = 150


def draw_trial(trial: Trial, assessment: Assessment | None, folder: Path) -> list[Path]:
    """Draw convergence, calibration and predicted ratings in blocks, and write them as PNG.

    Args:
        trial: The fit.
        assessment: Predictions of the ratings that were set aside; None for no calibration.
        folder: Where to write.

    Returns:
        The files.
    """
    from ppl_ext.plots import plot_blocks, plot_coverage, plot_elbo

    figures = {"convergence": _open_figure(6.4, 4.0)}
    ax = plot_elbo(trial.factors.log, figures["convergence"].add_subplot())
    ax.set_xlabel("sweep")
    if assessment is not None:
        figures["calibration"] = _open_figure(4.6, 4.6)
        plot_coverage(assessment, figures["calibration"].add_subplot())
    figures["ratings"] = _open_figure(6.8, 5.8)
    plot_blocks(predict_blocks(trial.factors, trial.train), figures["ratings"].add_subplot())
    written = []
    for name, figure in figures.items():
        written.append(folder / f"{name}.png")
        figure.savefig(written[-1], dpi=_DPI)
    return written


def _open_figure(width: float, height: float) -> Figure:
    # A figure made without pyplot leaves the user's figures and settings alone.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
