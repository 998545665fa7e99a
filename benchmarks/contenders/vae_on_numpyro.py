"""Variational auto-encoders in NumPyro: by this package, and written like the host's example."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.example_libraries import stax
from measuring import clock
from numpyro.infer import SVI, Trace_ELBO

from models.vae.data import load_digits
from models.vae.on_numpyro import fit_images
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


def fit_peer(seed: int, path: str, epochs: int) -> dict[str, Any]:
    """Fit MNIST as the host's example of a VAE does, with two hidden layers and z of our size.

    The pixels are drawn and the batches sized as ours are.
    """
    images, settings = read_images(Path(path)), MNIST
    hidden, dim, pixels = settings.hidden, settings.dim, images.train.shape[1]

    def make_encoder():
        return stax.serial(
            *[stax.Dense(hidden, W_init=stax.randn()), stax.Softplus] * settings.layers,
            stax.FanOut(2),
            stax.parallel(
                stax.Dense(dim, W_init=stax.randn()),
                stax.serial(stax.Dense(dim, W_init=stax.randn()), stax.Exp),
            ),
        )

    def make_decoder():
        return stax.serial(
            *[stax.Dense(hidden, W_init=stax.randn()), stax.Softplus] * settings.layers,
            stax.Dense(pixels, W_init=stax.randn()),
            stax.Sigmoid,
        )

    def model(batch):
        decode = numpyro.module("decoder", make_decoder(), (len(batch), dim))
        with numpyro.plate("batch", len(batch)):
            z = numpyro.sample("z", dist.Normal(0, 1).expand([dim]).to_event(1))
            numpyro.sample("obs", dist.Bernoulli(decode(z)).to_event(1), obs=batch)

    def guide(batch):
        encode = numpyro.module("encoder", make_encoder(), (len(batch), pixels))
        z_loc, z_std = encode(batch)
        with numpyro.plate("batch", len(batch)):
            numpyro.sample("z", dist.Normal(z_loc, z_std).to_event(1))

    svi = SVI(model, guide, numpyro.optim.Adam(1e-3), Trace_ELBO())

    @jax.jit
    def train_epoch(state, batches):
        return jax.lax.fori_loop(
            0, len(batches), lambda i, state: svi.update(state, batches[i])[0], state
        )

    opened = images.open_batches(settings.batch, seed)
    encoder, decoder = make_encoder()[1], make_decoder()[1]
    state, bounds, seconds = None, [], []

    def advance(epoch):
        batches = np.stack([counts for (counts,) in opened(epoch)])
        begun = svi.init(jax.random.key(seed), batches[0]) if state is None else state
        return jax.block_until_ready(train_epoch(begun, batches))

    for epoch in range(epochs):
        state, spent = clock(lambda: advance(epoch))  # noqa: B023
        seconds.append(spent + (seconds[-1] if seconds else 0.0))
        params = svi.get_params(state)

        def encode(counts, params=params):
            loc, std = encoder(params["encoder$params"], jnp.asarray(counts))
            return np.asarray(loc, float), np.asarray(std, float)

        def decode(z, params=params):
            probs = decoder(params["decoder$params"], jnp.asarray(z, jnp.float32))
            return _logit(np.asarray(probs, float))

        bounds.append(VAEFit(images, settings, encode, decode, None).bound())
    return {"bounds": bounds, "seconds": seconds}


def _logit(probs: np.ndarray) -> np.ndarray:
    # A probability that float32 has rounded to 0 or 1 would count as impossible.
    probs = np.clip(probs, 1e-7, 1 - 1e-7)
    return np.log(probs) - np.log1p(-probs)
