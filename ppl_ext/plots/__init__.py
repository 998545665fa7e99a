"""Plots that ArviZ lacks; each draws on the axes it is given and shows nothing by itself."""

from ppl_ext.plots.blocks import plot_blocks
from ppl_ext.plots.contraction import plot_contraction
from ppl_ext.plots.coverage import plot_coverage
from ppl_ext.plots.estimators import plot_estimators
from ppl_ext.plots.expected_coverage import plot_expected_coverage
from ppl_ext.plots.overlay import plot_marginal_overlay, plot_pair_overlay
from ppl_ext.plots.surprise import plot_surprise
from ppl_ext.plots.trace import plot_elbo
from ppl_ext.plots.vsbc import plot_vsbc
from ppl_ext.plots.weights import plot_khat

__all__ = [
    "plot_blocks",
    "plot_contraction",
    "plot_coverage",
    "plot_elbo",
    "plot_estimators",
    "plot_expected_coverage",
    "plot_khat",
    "plot_marginal_overlay",
    "plot_pair_overlay",
    "plot_surprise",
    "plot_vsbc",
]
