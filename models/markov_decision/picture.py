"""The picture of the decision: variances of the gradient, and the ways of the policies."""

from pathlib import Path

import numpy as np

from models.markov_decision.comparison import Comparison
from models.markov_decision.data import OPTIMUM

__all__ = ["draw_picture"]

COLORS = ("#D55E00", "#E69F00", "#56B4E9", "#0072B2")


def draw_picture(comparison: Comparison, path: Path) -> None:
    """Write two panels: variance of one estimate, and shortfall of the policy step by step."""
    # A figure made without pyplot leaves the user's figures and settings alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = list(comparison.estimates)
    bars = left.barh(names, [comparison.variance(name) for name in names], color=COLORS)
    left.bar_label(bars, fmt="%.3f", padding=3)
    left.invert_yaxis()
    left.set(xlabel="variance of the gradient, 32 episodes", title="Same mean, less variance")
    for name, color in zip(names, COLORS, strict=False):
        shortfall = np.maximum(OPTIMUM - comparison.returns[name], 1e-6)
        right.plot(shortfall, color=color, label=name)
    right.set(
        yscale="log",
        xlabel="step",
        ylabel="optimum less expected return",
        title="The policy approaches dynamic programming's",
    )
    right.legend(frameon=False)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
