"""The autoencoder of `minibatches.py` in Pyro, and in torch by hand."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import nn
from torch.distributed import init_process_group

import ppl_ext.pyro as px
from contenders.pixels import BATCH, HIDDEN, LATENT, PIXELS

__all__ = ["InPyro"]


class InPyro:
    """The autoencoder in Pyro, and in torch by hand."""

    ppl, room = pyro, px

    def __init__(self) -> None:
        torch.manual_seed(0)

    def fit(self, x: Any, epochs: int, **options: Any) -> Any:
        """By `fit_minibatches`."""
        size = len(x)
        encoder, decoder = self._networks()

        def model(x: Any) -> None:
            pyro.module("decoder", decoder)
            with pyro.plate("rows", size, subsample_size=len(x)):
                prior = dist.Normal(torch.zeros(LATENT), 1.0).to_event(1)
                pixels = dist.Bernoulli(logits=decoder(pyro.sample("z", prior)))
                pyro.sample("x", pixels.to_event(1), obs=x)

        pyro.clear_param_store()
        guide = px.AutoAmortized(model, encoder=encoder, local="mean_field")
        settings = px.MinibatchSettings(step_size=1e-3, max_epochs=epochs)
        batches = px.Minibatches(x, batch_size=BATCH)
        options = {"settings": settings, "progress_bar": False, **options}
        return px.fit_minibatches(model, guide, batches, **options)

    def by_hand(self, x: np.ndarray, epochs: int) -> None:
        """A loop as the tutorials of torch write it."""
        encoder, decoder = self._networks()
        optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        normal, rng = torch.distributions.Normal, np.random.default_rng(0)
        for _ in range(epochs):
            order, total = rng.permutation(len(x)), 0.0
            for start in range(0, len(x) - BATCH + 1, BATCH):
                batch = torch.as_tensor(x[order[start : start + BATCH]])
                encoded = encoder(batch)
                loc = encoded[:, :LATENT]
                scale = torch.nn.functional.softplus(encoded[:, LATENT:])
                z = loc + scale * torch.randn_like(loc)
                fit = entropy(decoder(z), batch, reduction="none").sum(-1)
                prior = normal(0.0, 1.0).log_prob(z)
                loss = (fit + (normal(loc, scale).log_prob(z) - prior).sum(-1)).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item()

    def moments(self, guide: Any, fitted: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of a Gaussian guide."""
        found = guide.get_posterior()
        return found.mean.detach().numpy(), found.variance.detach().numpy() ** 0.5

    def key(self) -> tuple[Any, ...]:
        """What `fit_minibatches` takes first."""
        pyro.clear_param_store()
        return ()

    def array(self, values: np.ndarray) -> Any:
        """As an array of the host."""
        return torch.as_tensor(np.asarray(values, np.float32))

    def join(self, rank: int, size: int, port: str) -> None:
        """Meet the other processes."""
        address = f"tcp://localhost:{port}"
        init_process_group("gloo", init_method=address, rank=rank, world_size=size)

    def _networks(self) -> tuple[Any, Any]:
        def chain(*sizes: int) -> Any:
            layers: list[Any] = []
            for one, other in pairwise(sizes):
                layers += [nn.Linear(one, other), nn.Softplus()]
            return nn.Sequential(*layers[:-1])

        return (
            chain(PIXELS, HIDDEN, HIDDEN, 2 * LATENT),
            chain(LATENT, HIDDEN, HIDDEN, PIXELS),
        )
