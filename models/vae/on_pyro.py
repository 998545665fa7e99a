"""The auto-encoder on Pyro: ``python -m models.vae.on_pyro [MNIST]``."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from itertools import pairwise

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch import nn

import ppl_ext.pyro as px
from models.vae.data import Images
from models.vae.demo import run
from models.vae.result import VAEFit
from models.vae.settings import DIGITS, Settings


class Network(nn.Sequential):
    """Linear layers with swish after every one but the last.

    Args:
        *widths: From that of the input to that of the output.
    """

    def __init__(self, *widths: int) -> None:
        layers = []
        for inputs, outputs in pairwise(widths):
            linear = nn.Linear(inputs, outputs)
            nn.init.normal_(linear.weight, std=inputs**-0.5)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.SiLU()]
        super().__init__(*layers[:-1])


class Encoder(nn.Module):
    """What is read of counts: means of z, and numbers whose softplus are standard deviations."""

    def __init__(self, network: Network, ink: torch.Tensor, levels: int) -> None:
        super().__init__()
        self.network, self.levels = network, levels
        self.register_buffer("ink", ink)

    def forward(self, counts):
        """Read ``counts[image, pixel]``."""
        return self.network(counts / self.levels - self.ink)


class Autoencoder:
    """Model and guide, with the networks that they share.

    Args:
        images: What is to be modelled.
        settings: Of the networks and of the bound.
    """

    def __init__(self, images: Images, settings: Settings) -> None:
        self.settings, self.levels, self.num_images = settings, images.levels, len(images.train)
        hidden, pixels = [settings.hidden] * settings.layers, images.train.shape[1]
        ink = torch.as_tensor(images.ink(), dtype=torch.float32)
        encoder = Encoder(Network(pixels, *hidden, 2 * settings.dim), ink, self.levels)
        self.decoder = Network(settings.dim, *hidden, pixels)
        # Before it knows anything of z, the decoder gives every pixel its average.
        self.decoder[-1].bias.data = ink.logit()
        self.guide = px.AutoAmortized(self.model, encoder=encoder, local="mean_field")

    def model(self, counts, regularise=True):
        """A latent z for each image of a batch, and pixels given z."""
        pyro.module("decoder", self.decoder)
        with pyro.plate("images", self.num_images, subsample_size=len(counts)):
            with nullcontext() if regularise else poutine.mask(mask=False):
                prior = dist.Normal(torch.zeros(self.settings.dim), 1.0)
                z = pyro.sample("z", prior.to_event(1))
            pixels = make_pixels(self.decoder(z), self.levels)
            pyro.sample("pixels", pixels.to_event(1), obs=counts)

    def choose_terms(self):
        """Model and guide with those terms of the bound that the settings ask for."""
        model, guide = self.model, self.guide
        if not self.settings.reconstruct:
            model = poutine.block(model, hide=["pixels"])
        if not self.settings.regularise:
            model, guide = partial(model, regularise=False), poutine.mask(guide, mask=False)
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
    pyro.set_rng_seed(seed)
    autoencoder = Autoencoder(rest, settings)
    with pyro.get_param_store().scope():
        found = px.fit_minibatches(
            *autoencoder.choose_terms(),
            rest.open_batches(settings.batch, seed),
            held_out=held_out or None,
            elbo=TraceMeanField_ELBO() if settings.analytic else Trace_ELBO(),
            settings=px.MinibatchSettings(
                step_size=settings.step_size, max_epochs=settings.epochs
            ),
            progress_bar=False,
            seed=seed,
        )

    @torch.no_grad()
    def encode(counts):
        posterior = autoencoder.guide.local_posterior(torch.as_tensor(counts))
        return posterior.mean.double().numpy(), posterior.stddev.double().numpy()

    @torch.no_grad()
    def decode(z):
        return autoencoder.decoder(torch.as_tensor(z, dtype=torch.float32)).double().numpy()

    return VAEFit(images, settings, encode, decode, found.log)


def main(argv: Sequence[str] | None = None) -> None:
    """Fit images and print how well; see ``--help``."""
    run("Pyro", fit_images, argv)


if __name__ == "__main__":
    main()
