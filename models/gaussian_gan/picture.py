"""The picture of the Gaussian GAN: the discriminator at rest, and the way of the generator."""

from pathlib import Path

import numpy as np
from scipy.stats import norm

from models.gaussian_gan.data import DATA_LOC, DATA_SCALE, START_LOC, START_SCALE, kl_divergence
from models.gaussian_gan.judging import Judgement

__all__ = ["draw_picture"]

DATA, FAKE, BEST = "#0072B2", "#D55E00", "black"


def draw_picture(judgement: Judgement, way: np.ndarray, path: Path) -> None:
    """Write three panels: densities and discriminator, location and scale, divergence."""
    # A figure made without pyplot leaves the user's figures and settings alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _draw_discriminator(left, judgement)
    for column, (name, color, target) in enumerate(
        [("location", FAKE, DATA_LOC), ("scale", "#009E73", DATA_SCALE)]
    ):
        middle.plot(way[:, column], color=color, label=f"{name} of the fakes")
        middle.axhline(target, color=color, linestyle=":", label=f"{name} of the data")
    middle.set(xlabel="step of Algorithm 1", title="Both take turns: fakes reach the data")
    middle.legend(frameon=False)
    right.plot([kl_divergence(*step) for step in way], color=FAKE)
    right.set(
        yscale="log", xlabel="step of Algorithm 1", title="KL(fakes || data) on the way, nats"
    )
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _draw_discriminator(ax, judgement):
    x = judgement.x
    for color, loc, scale, label in (
        (DATA, DATA_LOC, DATA_SCALE, "data p"),
        (FAKE, START_LOC, START_SCALE, "fakes q"),
    ):
        ax.fill_between(x, norm.pdf(x, loc, scale), color=color, alpha=0.25, label=label)
    ax.plot(x, judgement.found, color=FAKE, linewidth=3, label="discriminator found")
    ax.plot(x, judgement.best, color=BEST, linestyle="--", label="p / (p + q)")
    ax.set(xlabel="x", title=f"Fakes at rest: off by {judgement.discriminator_error:.3f} at most")
    ax.legend(frameon=False)
