"""The autoencoder of `minibatches.py` in NumPyro, and in JAX by hand."""

from functools import cached_property
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax

import ppl_ext.numpyro as px
from contenders.pixels import BATCH, HIDDEN, LATENT, PIXELS

__all__ = ["InNumPyro"]


class InNumPyro:
    """The autoencoder in NumPyro, and in JAX by hand."""

    ppl, room = numpyro, px

    # Not at once: processes meet before they reckon anything.
    @cached_property
    def encoder(self) -> Any:
        """Weights to start from."""
        return self._start(jax.random.key(1), [PIXELS, HIDDEN, HIDDEN, 2 * LATENT])

    @cached_property
    def decoder(self) -> Any:
        """Weights to start from."""
        return self._start(jax.random.key(2), [LATENT, HIDDEN, HIDDEN, PIXELS])

    def fit(self, x: Any, epochs: int, **options: Any) -> Any:
        """By `fit_minibatches`."""
        size = len(x)

        def model(x: Any) -> None:
            decoder = numpyro.param("decoder", self.decoder)
            with numpyro.plate("rows", size, subsample_size=len(x)):
                z = numpyro.sample("z", dist.Normal(jnp.zeros(LATENT), 1.0).to_event(1))
                pixels = dist.Bernoulli(logits=self._run(decoder, z)).to_event(1)
                numpyro.sample("x", pixels, obs=x)

        guide = px.AutoAmortized(model, encoder=(self._run, self.encoder), local="mean_field")
        settings = px.MinibatchSettings(step_size=1e-3, max_epochs=epochs)
        batches = px.Minibatches(x, batch_size=BATCH)
        options = {"settings": settings, "progress_bar": False, **options}
        key = jax.random.key(0)
        return px.fit_minibatches(key, model, guide, batches, **options)

    def by_hand(self, x: np.ndarray, epochs: int) -> None:
        """A loop over a compiled step, as the tutorials of JAX write it."""
        log_normal = jax.scipy.stats.norm.logpdf

        def loss(params: Any, key: Any, batch: Any) -> Any:
            encoded = self._run(params[0], batch)
            loc, scale = encoded[:, :LATENT], jax.nn.softplus(encoded[:, LATENT:])
            z = loc + scale * jax.random.normal(key, loc.shape)
            logits = self._run(params[1], z)
            fit = optax.sigmoid_binary_cross_entropy(logits, batch).sum(-1)
            return (fit + (log_normal(z, loc, scale) - log_normal(z)).sum(-1)).mean()

        optimiser = optax.adam(1e-3)

        @jax.jit
        def step(params: Any, state: Any, key: Any, batch: Any) -> Any:
            value, slope = jax.value_and_grad(loss)(params, key, batch)
            updates, state = optimiser.update(slope, state)
            return optax.apply_updates(params, updates), state, value

        params, key = (self.encoder, self.decoder), jax.random.key(0)
        state, rng = optimiser.init(params), np.random.default_rng(0)
        for _ in range(epochs):
            order, losses = rng.permutation(len(x)), []
            for start in range(0, len(x) - BATCH + 1, BATCH):
                key, now = jax.random.split(key)
                batch = x[order[start : start + BATCH]]
                params, state, value = step(params, state, now, batch)
                losses.append(value)
            float(sum(losses))

    def moments(self, guide: Any, fitted: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of a Gaussian guide."""
        found = guide.get_posterior(fitted.params)
        return np.asarray(found.mean), np.sqrt(np.asarray(found.variance))

    def key(self) -> tuple[Any, ...]:
        """What `fit_minibatches` takes first."""
        return (jax.random.key(0),)

    def array(self, values: np.ndarray) -> Any:
        """As an array of the host."""
        return jnp.asarray(values, "float32")

    def join(self, rank: int, size: int, port: str) -> None:
        """Meet the other processes."""
        jax.distributed.initialize(f"localhost:{port}", size, rank)

    def _start(self, key: Any, sizes: list[int]) -> list[tuple[Any, Any]]:
        keys = jax.random.split(key, len(sizes) - 1)
        return [
            (jax.random.normal(each, (a, b)) / a**0.5, jnp.zeros(b))
            for each, (a, b) in zip(keys, pairwise(sizes), strict=True)
        ]

    def _run(self, layers: Any, rows: Any) -> Any:
        for index, (weight, bias) in enumerate(layers):
            rows = rows @ weight + bias
            if index < len(layers) - 1:
                rows = jax.nn.softplus(rows)
        return rows
