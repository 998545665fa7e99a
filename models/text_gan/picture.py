"""The picture of the sequence GAN: number of operators during training, score, and strings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.text_gan.data import LAW, Score

__all__ = ["draw_picture"]

COLORS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7")


def draw_picture(scores: Sequence[Score], steps: int, strings: Sequence[str], path: Path) -> None:
    """Write three panels: law of the number of operators, validity and distance, strings."""
    # A figure made without pyplot leaves the user's figures and settings alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.2, 1, 0.8))
    step = np.linspace(0, steps, len(scores))
    for operators, color in enumerate(COLORS):
        share = np.maximum([score.law[operators] for score in scores], 1e-4)
        left.plot(step, share, color=color, label=f"{operators}")
        left.axhline(LAW[operators], color=color, linestyle=":", linewidth=1)
    left.set(yscale="log", xlabel="step", title="Share by number of operators; dotted: grammar")
    left.legend(frameon=False, ncols=2, loc="lower right", title="operators")
    for values, color, label in (
        ([1 - score.valid for score in scores], COLORS[0], "share not in the language"),
        ([score.total_variation for score in scores], COLORS[4], "total variation"),
    ):
        middle.plot(step, np.maximum(values, 1e-4), color=color, label=label)
    middle.set(yscale="log", xlabel="step", title="Distance from the grammar")
    middle.legend(frameon=False)
    right.set_axis_off()
    right.set_title("Strings at the end")
    columns = ["\n".join(strings[first : first + 12]) for first in (0, 12)]
    for x, column in zip((0.05, 0.55), columns, strict=True):
        right.text(x, 0.97, column, family="monospace", va="top", transform=right.transAxes)
    for ax in (left, middle):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
