"""The auto-encoder on NumPyro: ``python -m models.vae.on_numpyro [MNIST]``."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer import Trace_ELBO, TraceMeanField_ELBO

import ppl_ext.numpyro as px
from models.vae.data import Images
from models.vae.demo import run
from models.vae.result import VAEFit
from models.vae.settings import DIGITS, Settings


def start_network(rng_key, widths):
    """Draw the weights of a network, from the width of its input to that of its output."""
    layers = []
    for inputs, outputs in pairwise(widths):
        rng_key, key = jax.random.split(rng_key)
        weight = jax.random.normal(key, (inputs, outputs)) / inputs**0.5
        layers.append({"weight": weight, "bias": jnp.zeros(outputs)})
    return layers


def run_network(layers, x):
    """Swish after every layer but the last."""
    *hidden, last = layers
    for layer in hidden:
        x = jax.nn.silu(x @ layer["weight"] + layer["bias"])
    return x @ last["weight"] + last["bias"]


class Autoencoder:
    """Model and guide, with the weights that they start from.

    Args:
        rng_key: Of these weights.
        images: What is to be modelled.
        settings: Of the networks and of the bound.
    """

    def __init__(self, rng_key, images: Images, settings: Settings) -> None:
        self.settings, self.levels, self.num_images = settings, images.levels, len(images.train)
        encoder_key, decoder_key = jax.random.split(rng_key)
        hidden, pixels = [settings.hidden] * settings.layers, images.train.shape[1]
        ink = jnp.asarray(images.ink(), jnp.float32)
        encoder = start_network(encoder_key, [pixels, *hidden, 2 * settings.dim])
        self.decoder = start_network(decoder_key, [settings.dim, *hidden, pixels])
        # Before it knows anything of z, the decoder gives every pixel its average.
        self.decoder[-1]["bias"] = jnp.log(ink) - jnp.log1p(-ink)

        def read(layers, counts):
            return run_network(layers, counts / self.levels - ink)

        self.guide = px.AutoAmortized(self.model, encoder=(read, encoder), local="mean_field")

    def model(self, counts, regularise=True):
        """A latent z for each image of a batch, and pixels given z."""
        decoder = numpyro.param("decoder", self.decoder)
        with numpyro.plate("images", self.num_images, subsample_size=len(counts)):
            with nullcontext() if regularise else handlers.mask(mask=False):
                prior = dist.Normal(jnp.zeros(self.settings.dim), 1.0)
                z = numpyro.sample("z", prior.to_event(1))
            pixels = make_pixels(run_network(decoder, z), self.levels)
            numpyro.sample("pixels", pixels.to_event(1), obs=counts)

    def choose_terms(self):
        """Model and guide with those terms of the bound that the settings ask for."""
        model, guide = self.model, self.guide
        if not self.settings.reconstruct:
            model = handlers.block(model, hide=["pixels"])
        if not self.settings.regularise:
            model, guide = partial(model, regularise=False), handlers.mask(guide, False)
        return model, guide


def make_pixels(logits, levels):
    """Distributions of pixels."""
    if levels == 1:  # what the other is too, at less cost
        return dist.Bernoulli(logits=logits)
    return dist.Binomial(levels, logits=logits)


def fit_images(images: Images, settings: Settings = DIGITS, *, seed: int = 0) -> VAEFit:
    """Fit the auto-encoder to the images for training.

    Args:
        images: The images.
        settings: Of the networks, of the bound and of the training.
        seed: Of everything random.

    Returns:
        The fit.
    """
    rest, held_out = images.hold_out(settings.held_out, seed)
    start_key, rng_key = jax.random.split(jax.random.key(seed))
    autoencoder = Autoencoder(start_key, rest, settings)
    found = px.fit_minibatches(
        rng_key,
        *autoencoder.choose_terms(),
        rest.open_batches(settings.batch, seed),
        held_out=held_out or None,
        elbo=TraceMeanField_ELBO() if settings.analytic else Trace_ELBO(),
        settings=px.MinibatchSettings(step_size=settings.step_size, max_epochs=settings.epochs),
        progress_bar=False,
    )
    run_decoder = jax.jit(run_network)

    def encode(counts):
        posterior = autoencoder.guide.local_posterior(found.params, jnp.asarray(counts))
        return np.asarray(posterior.mean, float), np.asarray(posterior.variance, float) ** 0.5

    def decode(z):
        return np.asarray(run_decoder(found.params["decoder"], np.asarray(z, np.float32)), float)

    return VAEFit(images, settings, encode, decode, found.log)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit images and print how well; see ``--help``."""
    run("NumPyro", fit_images, argv)


if __name__ == "__main__":
    main()
