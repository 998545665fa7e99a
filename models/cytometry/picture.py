"""Pictures of a cytometry fit: the latent space, and gates beside predicted populations."""

import numpy as np

from models.cytometry.data import UNKNOWN, CytometryData
from models.cytometry.prediction import Prediction

__all__ = ["draw_embedding", "draw_gates"]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
SHOWN = 10_000  # more dots hide each other


def draw_embedding(prediction: Prediction, ax=None):
    """Draw cells on the two principal components of z, coloured by population.

    Args:
        prediction: Of a fit.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6, 5), layout="constrained").subplots()
    z = prediction.z - prediction.z.mean(0)
    plane = z @ np.linalg.svd(z, full_matrices=False)[2][:2].T
    _scatter(ax, plane, prediction.labels, prediction.populations)
    ax.set(xlabel="first component of z", ylabel="second component of z", title="Latent space")
    ax.legend(frameon=False, markerscale=4)
    return ax


def draw_gates(data: CytometryData, prediction: Prediction, first: str, second: str):
    """Draw two markers twice: the cells with labels, and all cells by predicted population.

    Args:
        data: Cells, labels in the order of the prediction's populations.
        prediction: Of the same cells.
        first: Marker across.
        second: Marker upwards.

    Returns:
        The figure.
    """
    # A figure made without pyplot leaves the user's figures and settings alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    plane = data.values[:, [data.markers.index(first), data.markers.index(second)]]
    labels = np.full(len(plane), UNKNOWN) if data.labels is None else data.labels
    left.plot(*plane[labels == UNKNOWN][:SHOWN].T, ".", markersize=1, color="#dddddd")
    # Few cells are gated, and have to be seen among the others.
    for ax, places, title, size in (
        (left, labels, "Gates", 4),
        (right, prediction.labels, "Predicted", 2),
    ):
        _scatter(ax, plane, places, prediction.populations, size)
        ax.set(xlabel=first, ylabel=second, title=title)
    right.legend(frameon=False, markerscale=4, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _scatter(ax, plane, places, names, size=2):
    for place, name in enumerate(names):
        cells = plane[places == place][: SHOWN // len(names)]
        color = COLORS[place % len(COLORS)]
        ax.plot(*cells.T, ".", markersize=size, color=color, label=name, rasterized=True)
    ax.spines[["top", "right"]].set_visible(False)
