"""What the programs of both hosts print and draw."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.vae.data import load_digits
from models.vae.picture import draw_digits, draw_embedding, draw_losses, draw_reconstructions
from models.vae.reading import read_images
from models.vae.result import VAEFit, divergence, score_pixels, tell_apart
from models.vae.settings import DIGITS, MNIST

__all__ = ["draw_pictures", "run"]

COLUMNS = "{:<22}{:>9}{:>13}{:>8}{:>10}{:>12}"
ABLATIONS = {
    "divergence by draws": {"analytic": False},
    "no reconstruction": {"reconstruct": False},
    "no regulariser": {"regularise": False},
}


def run(host: str, fit_images: Callable[..., VAEFit], argv: Sequence[str] | None) -> None:
    """Fit images, with all terms of the bound and without each, and print how well.

    Args:
        host: Its name.
        fit_images: Of the host.
        argv: Of the command line.
    """
    parser = argparse.ArgumentParser(
        description=f"A variational auto-encoder on {host}: of scikit-learn's digits, or of MNIST."
    )
    parser.add_argument(
        "mnist", nargs="?", type=Path, help=".npz file, or folder of the four idx files"
    )
    parser.add_argument("--dim", type=int, help="dimension of z")
    parser.add_argument("--smoke", action="store_true", help="a short run and its score line")
    parser.add_argument("--pictures", type=Path, help="folder for PNG files")
    options = parser.parse_args(argv)
    if options.smoke:
        images = load_digits(400)
        settings = replace(DIGITS, dim=2, hidden=32, epochs=2)
    elif options.mnist:
        images, settings = read_images(options.mnist), MNIST
    else:
        images, settings = load_digits(), DIGITS
    if options.dim:
        settings = replace(settings, dim=options.dim)
    whole = fit_images(images, settings)
    if options.pictures:
        draw_pictures(whole, options.pictures)
    if options.smoke:
        print(f"VAE on {host}: {whole.bound():.2f} nats a test image")
        return
    fits = {"both terms": whole}
    for name, change in ABLATIONS.items():
        fits[name] = fit_images(images, replace(settings, **change))
    print(images)
    print(f"training {whole.log}")
    print(COLUMNS.format("", "ELBO", "log p(x|z)", "KL", "sd of z", "told apart"))
    for name, fit in fits.items():
        print(COLUMNS.format(name, *_describe(fit)))
    train = images.draw(images.train[: len(images.test)], np.random.default_rng(1))
    apart = tell_apart(images.held_out[:1000], train[:1000])
    print(f"images for training and for the test are told apart: {apart:.2f}")
    closed, drawn = (each.std(0).mean() for each in whole.estimate())
    print(
        f"noise of one draw: {closed:.2f} nats an image, {drawn:.2f} with the divergence by draws"
    )
    print(f"independent pixels: {score_pixels(images):.2f}")
    print(f"log-likelihood by 200 weighted draws: {whole.evidence(images.held_out[:500]):.2f}")


def _describe(fit: VAEFit) -> list[str]:
    """Bound, its terms in nats a test image, spread of z, and how odd generated images are."""
    loc, sd = fit.encode(fit.images.held_out)
    bound, apart = fit.bound(), divergence(loc, sd).mean()
    spread = np.exp(np.log(sd).mean())
    figures = [f"{value:.2f}" for value in (bound, bound + apart, apart)]
    return [*figures, f"{spread:.3g}", f"{fit.strangeness():.2f}"]


def draw_pictures(fit: VAEFit, folder: Path) -> None:
    """Write all pictures of a fit."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = fit.images.held_out
    pictures = {
        "embedding": draw_embedding(fit.encode(counts)[0], fit.images.test_labels).figure,
        "reconstructions": draw_reconstructions(fit),
        "generated": draw_digits(fit.generate(100)).figure,
        "losses": draw_losses(fit).figure,
    }
    for name, figure in pictures.items():
        figure.savefig(folder / f"{name}.png", dpi=120)
