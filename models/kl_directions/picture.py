"""The five panels: a target, and the nearest Gaussian in either direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from models.kl_directions.data import SCALE, WEIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Panel", "draw_panels"]


@dataclass(frozen=True)
class Panel:
    """One distance of the modes: mean and sd of the Gaussian of each direction, and verdicts."""

    gap: float
    forward: tuple[float, float]
    reverse: tuple[float, float]
    verdicts: tuple[str, str]

    def __str__(self) -> str:
        return (
            f"gap {self.gap:.0f}: forward N({self.forward[0]:.2f}, {self.forward[1]:.2f}) from "
            f"draws that are {self.verdicts[0]}; reverse N({self.reverse[0]:.2f}, "
            f"{self.reverse[1]:.2f}), {self.verdicts[1]}"
        )


def draw_panels(panels: Sequence[Panel]) -> Figure:
    """Draw target and both Gaussians, a panel for each distance."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=(2.6 * len(panels), 2.4), sharey=True)
    x = np.linspace(-8, 8, 401)
    for ax, panel in zip(axes, panels, strict=True):
        half = panel.gap / 2
        target = WEIGHT * stats.norm.pdf(x, -half, 1) + (1 - WEIGHT) * stats.norm.pdf(
            x, half, SCALE
        )
        ax.fill_between(x, target, color="0.85", label="target p")
        ax.plot(x, stats.norm.pdf(x, *panel.forward), "--", label="KL(p || q)")
        ax.plot(x, stats.norm.pdf(x, *panel.reverse), ":", linewidth=2, label="KL(q || p)")
        ax.set_title(f"modes {panel.gap:.0f} apart", fontsize="medium")
        ax.set_xlabel("x")
        ax.set_yticks([])
    axes[0].set_ylabel("density")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    return figure
