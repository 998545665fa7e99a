"""What a network reads of a spectrum, in JAX: its level, its shape and its noise."""

import jax
import jax.numpy as jnp
import numpy as np

import ppl_ext.numpyro as px
from ppl_ext.npe.features import Layout

__all__ = ["SpectrumEmbedding"]


class SpectrumEmbedding:
    """Level, size and roughness of a spectrum, and its bins beside each of them.

    The radius of the planet moves all depths by thousands of ppm, and molecules move a few bins by
    a hundred: depths that are only standardised hide them.

    Args:
        layout: How the features lie: standardised depths in the order of the wavelengths.
        error: ``[bin]``, stated errors, of which the proportions count.
        context_dim: Numbers that it gives.
        hidden: Width of its layers.
    """

    def __init__(self, layout: Layout, error, context_dim: int = 32, hidden: int = 128) -> None:
        self.context_dim = context_dim
        self.error = np.asarray(error, np.float32) / np.mean(error, dtype=np.float32)
        width = 3 * layout.width + 3
        self.network = px.npe.ResidualMLP(Layout(width), context_dim, hidden)

    def init(self, rng_key: jax.Array):
        """Draw weights."""
        return self.network.init(rng_key)

    def __call__(self, params, features: jax.Array) -> jax.Array:
        """Sum up features ``[..., width]`` as ``[..., context_dim]``."""
        level = features.mean(-1, keepdims=True)
        shape = features - level
        size = jnp.sqrt((shape**2).mean(-1, keepdims=True) + 1e-8)
        # A bin less its neighbours is noise, where bands are wider than bins.
        rough = (shape[..., 1:-1] - (shape[..., :-2] + shape[..., 2:]) / 2) / self.error[1:-1]
        noise = jnp.sqrt((rough**2).mean(-1, keepdims=True) + 1e-8)
        views = [10 * shape, shape / size, jnp.arcsinh(shape / (2 * noise * self.error))]
        return self.network(
            params, jnp.concatenate([level, jnp.log(size) + 2, jnp.log(noise) + 3, *views], -1)
        )
