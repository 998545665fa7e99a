"""Pictures of an auto-encoder: latent space, reconstructions, generated images, losses."""

import numpy as np

from models.vae.result import VAEFit

__all__ = ["draw_digits", "draw_embedding", "draw_losses", "draw_reconstructions"]

# Ten that stay apart for most who see colours otherwise, and as grey.
COLORS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999",
    "#882255", "#B5BD00",
)  # fmt: skip
SHOWN = 3000  # more dots hide each other


def draw_embedding(loc: np.ndarray, labels: np.ndarray, ax=None):
    """Draw means of z on their two principal components, coloured by class.

    Args:
        loc: ``[image, dim]``.
        labels: ``[image]``.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    ax = _make_axes(ax, (6, 5.5))
    centred = loc - loc.mean(0)
    plane, share = centred, None
    if loc.shape[1] > 2:
        _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
        plane, share = centred @ directions[:2].T, (sizes[:2] ** 2).sum() / (sizes**2).sum()
    for place, name in enumerate(np.unique(labels)):
        dots = plane[:SHOWN][labels[:SHOWN] == name]
        color = COLORS[place % len(COLORS)]
        size = 7 if len(loc) < 1000 else 3
        ax.plot(*dots.T, ".", markersize=size, color=color, alpha=0.6, rasterized=True)
        # The class stands where most of it is, so that no key has to be read.
        spot = {"facecolor": "white", "edgecolor": color, "boxstyle": "round,pad=0.2"}
        ax.text(*np.median(dots, 0), str(name), ha="center", va="center", bbox=spot)
    what = "z" if share is None else "principal component of z"
    ax.set(xlabel=f"first {what}", ylabel=f"second {what}", aspect="equal")
    title = "Test images in latent space"
    ax.set_title(title if share is None else f"{title} ({share:.0%} of the variance)")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def draw_digits(pixels: np.ndarray, ax=None, *, columns: int = 10, title: str = "From the prior"):
    """Draw images beside and below each other.

    Args:
        pixels: ``[image, pixel]``, from 0 to 1, row by row.
        ax: Axes to draw on; None makes a figure.
        columns: Images in a row.
        title: Above them.

    Returns:
        The axes.
    """
    side = int(pixels.shape[1] ** 0.5)
    rows = -(-len(pixels) // columns)
    ax = _make_axes(ax, (6, 6 * rows / columns + 0.4))
    # A margin of a pixel between the images, as white as the paper.
    board = np.zeros((rows, side + 1, columns, side + 1))
    for place, image in enumerate(pixels):
        row, column = divmod(place, columns)
        board[row, :side, column, :side] = image.reshape(side, side)
    sheet = board.reshape(rows * (side + 1), -1)[:-1, :-1]
    ax.imshow(sheet, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()
    return ax


def draw_reconstructions(fit: VAEFit, count: int = 20):
    """Draw images of the test above what comes of them through the mean of z.

    Args:
        fit: A fit.
        count: Number of images, ten in a row.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    originals = fit.images.test[:count] / fit.images.brightest
    again = fit.reconstruct(fit.images.held_out[:count])
    figure = Figure(figsize=(6, 0.6 * -(-count // 10) * 2 + 1.2), layout="constrained")
    above, below = figure.subplots(2, 1)
    draw_digits(originals, above, title="Test images")
    draw_digits(again, below, title="Reconstructions")
    return figure


def draw_losses(fit: VAEFit, ax=None):
    """Draw the loss of the training, and that of the images that were held out of it.

    Args:
        fit: A fit.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    ax = _make_axes(ax, (6, 4))
    aside = round(fit.settings.held_out * len(fit.images.train))
    count = len(fit.images.train) - aside
    log, epoch = fit.log, count // fit.settings.batch
    curves = [(log.steps, log.losses / count, "training, as it went")]
    if len(log.held_out):
        curves.append((log.scored, log.held_out / count, "held out, averaged weights"))
    for (steps, losses, label), color in zip(curves, COLORS, strict=False):
        ax.plot(steps / epoch, losses, color=color, label=label)
    ax.set(xlabel="epoch", ylabel="minus ELBO, nats an image", title="Training")
    # The first epochs would press all others onto a line.
    low = min(losses.min() for _, losses, _ in curves)
    late = max(losses[len(losses) // 10 :].max() for _, losses, _ in curves)
    margin = 0.05 * (late - low) + 0.5
    ax.set_ylim(low - margin, late + margin)
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _make_axes(ax, size):
    if ax is not None:
        return ax
    # A figure made without pyplot leaves the user's figures and settings alone.
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()
