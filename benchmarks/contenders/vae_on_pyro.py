"""Variational auto-encoders in Pyro: by this package, and written like the host's example."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from measuring import clock
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import nn

from models.vae.data import load_digits
from models.vae.on_pyro import fit_images
from models.vae.reading import read_images
from models.vae.result import VAEFit
from models.vae.settings import DIGITS, MNIST

__all__ = ["fit_ours", "fit_peer"]


def fit_ours(seed: int, path: str | None = None, **changes: Any) -> dict[str, Any]:
    """Fit scikit-learn's digits, or the MNIST file, with some settings changed."""
    images = read_images(Path(path)) if path else load_digits()
    settings = replace(MNIST if path else DIGITS, **changes)
    fit, seconds = clock(lambda: fit_images(images, settings, seed=seed))
    evidence = fit.evidence(images.held_out[:500])
    return {"bound": fit.bound(), "evidence": evidence, "seconds": seconds}


def _hidden(inputs: int, width: int, layers: int) -> nn.Sequential:
    widths = [inputs, *[width] * layers]
    linear = [nn.Linear(*pair) for pair in pairwise(widths)]
    return nn.Sequential(*[each for one in linear for each in (one, nn.Softplus())])


class Encoder(nn.Module):
    """Pixels to location and scale."""

    def __init__(self, pixels: int, width: int, layers: int, dim: int) -> None:
        super().__init__()
        self.hidden = _hidden(pixels, width, layers)
        self.loc, self.log_scale = nn.Linear(width, dim), nn.Linear(width, dim)

    def forward(self, x):
        """Read ``x[image, pixel]``."""
        hidden = self.hidden(x)
        return self.loc(hidden), torch.exp(self.log_scale(hidden))


class VAE(nn.Module):
    """Model and guide as the host's example has them."""

    def __init__(self, pixels: int, width: int, layers: int, dim: int) -> None:
        super().__init__()
        self.encoder = Encoder(pixels, width, layers, dim)
        self.decoder = nn.Sequential(
            _hidden(dim, width, layers), nn.Linear(width, pixels), nn.Sigmoid()
        )
        self.dim = dim

    def model(self, x):
        """Pixels given z."""
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", x.shape[0]):
            z_loc, z_scale = x.new_zeros(len(x), self.dim), x.new_ones(len(x), self.dim)
            z = pyro.sample("latent", dist.Normal(z_loc, z_scale).to_event(1))
            probs = self.decoder(z)
            # As there: grey pixels would be refused.
            pixels = dist.Bernoulli(probs, validate_args=False).to_event(1)
            pyro.sample("obs", pixels, obs=x)

    def guide(self, x):
        """Z given pixels."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", x.shape[0]):
            pyro.sample("latent", dist.Normal(*self.encoder(x)).to_event(1))


def fit_peer(seed: int, path: str, epochs: int) -> dict[str, Any]:
    """Fit MNIST as the host's example of a VAE does, with two hidden layers and z of our size.

    The pixels are drawn and the batches sized as ours are.
    """
    images, settings = read_images(Path(path)), MNIST
    pyro.set_rng_seed(seed)
    pyro.clear_param_store()
    vae = VAE(images.train.shape[1], settings.hidden, settings.layers, settings.dim)
    svi = SVI(vae.model, vae.guide, Adam({"lr": 1.0e-3}), loss=Trace_ELBO())
    opened = images.open_batches(settings.batch, seed)

    @torch.no_grad()
    def encode(counts):
        return tuple(each.double().numpy() for each in vae.encoder(torch.as_tensor(counts)))

    @torch.no_grad()
    def decode(z):
        probs = vae.decoder(torch.as_tensor(z, dtype=torch.float32)).double().numpy()
        # A probability that float32 has rounded to 0 or 1 would count as impossible.
        probs = np.clip(probs, 1e-7, 1 - 1e-7)
        return np.log(probs) - np.log1p(-probs)

    fit = VAEFit(images, settings, encode, decode, None)
    bounds, seconds = [], []
    for epoch in range(epochs):
        _, spent = clock(lambda: [svi.step(torch.as_tensor(x)) for (x,) in opened(epoch)])  # noqa: B023
        seconds.append(spent + (seconds[-1] if seconds else 0.0))
        bounds.append(fit.bound())
    return {"bounds": bounds, "seconds": seconds}
