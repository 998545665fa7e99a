"""The pictures of a page, as PNG files in memory; the user's figures and settings stay."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.draws.draws import Draws
from ppl_ext.draws.summary import list_elements
from ppl_ext.fitting.fit_log import FitLog

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_elbo", "draw_marginals", "draw_weights"]

_COLUMNS, _MOST, _LOOKED_AT = 4, 16, 200
_WIDTH = 36  # letters that fit below a picture
_DPI = 120


def draw_marginals(draws: Draws) -> tuple[bytes | None, str]:
    """Draw the marginal density of one element after the other.

    Args:
        draws: The draws.

    Returns:
        The picture, None where no element has a density, and a sentence on what it leaves out,
        empty where it shows all.
    """
    from ppl_ext.plots import plot_marginal_overlay

    elements = list(islice(list_elements(draws.values, draws.dims, draws.coords), _LOOKED_AT))
    # The first entry of a Cholesky factor is constant, a count has no density.
    shown = {name: column for name, column in elements if _has_density(column)}
    rest = len(elements) - min(len(shown), _MOST)
    left = f"No whole numbers, no constants, and the first {_MOST} elements at most are drawn."
    names = list(shown)[:_MOST]
    if not names:
        return None, left
    rows = -(-len(names) // _COLUMNS)
    columns = min(len(names), _COLUMNS)
    with _open_figure(2.6 * max(columns, 2), 1.9 * rows + 0.3) as (figure, png):
        for at, name in enumerate(names, 1):
            ax = figure.add_subplot(rows, columns, at)
            alone = Draws({"shown": shown[name]}, draws.log_p, draws.log_q)
            plot_marginal_overlay({"draws": alone}, ax)
            legend = ax.get_legend()
            if legend is not None:
                legend.remove()
            # No font has half of a surrogate pair, and a pair of dollars is no formula.
            label = name.encode("utf-8", errors="replace").decode("utf-8")
            if len(label) > _WIDTH:
                label = f"{label[: _WIDTH - 12]}...{label[-9:]}"
            ax.set_xlabel(label, parse_math=False)
            ax.set_ylabel("")
            ax.set_yticks([])
            ax.tick_params(labelsize="small")
    return png.getvalue(), left if rest else ""


def draw_weights(draws: Draws) -> bytes | None:
    """Draw the tail of the importance weights of a guide's draws.

    Args:
        draws: The draws.

    Returns:
        The picture; None where too few draws have a density for a tail.
    """
    from ppl_ext.plots import plot_khat

    log_weights = np.where(np.isfinite(draws.log_weights), draws.log_weights, -np.inf)
    if np.isfinite(log_weights).mean() < 0.5:
        return None
    with _open_figure(6.4, 4.0) as (figure, png):
        plot_khat(log_weights, figure.add_subplot())
    return png.getvalue()


def draw_elbo(log: FitLog) -> bytes:
    """Draw the ELBO over the steps.

    Args:
        log: What the fit did, with a step or more.

    Returns:
        The picture.
    """
    from ppl_ext.plots import plot_elbo

    with _open_figure(6.4, 4.0) as (figure, png):
        plot_elbo(log, figure.add_subplot())
    return png.getvalue()


def _has_density(column: np.ndarray) -> bool:
    return bool(column.dtype.kind == "f" and np.isfinite(column).all() and np.ptp(column) > 0)


@contextmanager
def _open_figure(width: float, height: float) -> Iterator[tuple[Figure, io.BytesIO]]:
    """A figure in matplotlib's own style, and the file that it is in when it is done."""
    from matplotlib import style
    from matplotlib.figure import Figure

    png = io.BytesIO()
    with style.context("default"):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, png
        figure.savefig(png, format="png", dpi=_DPI)
