"""The digits autoencoder on Pyro: ``python -m models.digits_vae.on_pyro``."""

import argparse
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch import nn

import ppl_ext.pyro as px
from models.digits_vae.data import (
    BATCH,
    CLASSES,
    HIDDEN,
    LATENTS,
    PIXELS,
    STEP_SIZE,
    TEST,
    TRAIN,
    score_pixels,
)

ESTIMATORS = (px.estimators.ReinMax(1.0), px.estimators.LeaveOneOut(4))


def network(inputs: int, outputs: int) -> nn.Module:
    """A layer of hidden units."""
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))


class Autoencoder(nn.Module):
    """Model and guide with the networks that they share parameters through."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = network(PIXELS, LATENTS * CLASSES)
        self.decoder = network(LATENTS * CLASSES, PIXELS)

    def model(self, images, batch=None):
        """Latent variables with uniform classes, and pixels given all of them."""
        pyro.module("decoder", self.decoder)
        with pyro.plate("image", len(images), subsample_size=batch) as rows:
            uniform = torch.zeros(len(rows), LATENTS, CLASSES)
            prior = px.distributions.OneHotCategoricalStraightThrough(logits=uniform)
            z = pyro.sample("z", prior.to_event(1))
            pixels = self.decoder(z.flatten(-2))
            likelihood = dist.Bernoulli(logits=pixels).to_event(1)
            pyro.sample("pixels", likelihood, obs=images[rows])

    def guide(self, images, batch=None):
        """The classes of the latent variables, each by itself, given the image."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("image", len(images), subsample_size=batch) as rows:
            logits = self.encoder(images[rows]).unflatten(-1, (LATENTS, CLASSES))
            posterior = px.distributions.OneHotCategoricalStraightThrough(logits=logits)
            pyro.sample("z", posterior.to_event(1))


def score(estimator, seed: int = 0, steps: int = 2000, draws: int = 100) -> float:
    """Train with an estimator and return nats a test image: the bound of hard draws."""
    pyro.set_rng_seed(seed)
    with pyro.get_param_store().scope():
        vae, adam = Autoencoder(), pyro.optim.Adam({"lr": STEP_SIZE})
        svi = pyro.infer.SVI(vae.model, vae.guide, adam, px.DiscreteELBO(estimator))
        images = torch.as_tensor(TRAIN)
        for _ in range(steps):
            svi.step(images, BATCH)
        elbo = px.DiscreteELBO(px.estimators.ScoreFunction(), num_particles=draws)
        return elbo.loss(vae.model, vae.guide, torch.as_tensor(TEST)) / len(TEST)


def main(argv: Sequence[str] | None = None) -> None:
    """Train with each estimator and print nats a test image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run and its score line only")
    smoke = parser.parse_args(argv).smoke
    for estimator in ESTIMATORS[:1] if smoke else ESTIMATORS:
        nats = score(estimator, steps=30, draws=2) if smoke else score(estimator)
        print(
            f"digits VAE on Pyro, {estimator}: {nats:.2f} nats a test image, "
            f"independent pixels {score_pixels():.2f}"
        )


if __name__ == "__main__":
    main()
