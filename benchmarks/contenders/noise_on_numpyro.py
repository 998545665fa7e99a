"""The grid of Gumbel noise in NumPyro, beside JAX's own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from noise_grid import CHUNK, first_half_wins, rare_ratio, total_variation

from ppl_ext.numpyro.distributions import sample_categorical
from ppl_ext.numpyro.gumbel.noise import uniform_to_gumbel

__all__ = ["run"]

TOP = 2**22


def run(draws: int, gaps: list[float]) -> dict:
    """Measure our noise and the host's."""
    jax.config.update("jax_enable_x64", False)
    n = np.arange(TOP)
    ours = uniform_to_gumbel(-(jnp.asarray(n, jnp.float32) + 0.5) * 2.0**-32)
    theirs = -jnp.log(-jnp.log(jnp.asarray(1 - (n + 1) * 2.0**-23, jnp.float32)))
    sides = {
        "ours": (ours, 2.0**-32, _ours, draws),
        "host": (theirs, 2.0**-23, _host, draws // 100),
    }
    return {
        side: {
            "rare": [rare_ratio(np.asarray(values), share, gap) for gap in gaps],
            "half": first_half_wins(np.asarray(values), share, 1_000_000),
            "tv": {
                jnp.dtype(dtype).name: _distance(sample, dtype, count)
                for dtype in (jnp.bfloat16, jnp.float16)
            },
        }
        for side, (values, share, sample, count) in sides.items()
    }


def _distance(sample, dtype, draws):
    logits = jax.random.normal(jax.random.key(0), (1000,)).astype(dtype)
    sizes = [min(CHUNK, max(draws, 1) - start) for start in range(0, max(draws, 1), CHUNK)]
    counts = np.zeros(1000, int)
    for size, key in zip(sizes, jax.random.split(jax.random.key(1), len(sizes)), strict=True):
        counts += np.bincount(np.asarray(sample(key, logits, size)), minlength=1000)
    return total_variation(counts, np.asarray(logits.astype(float)))


@partial(jax.jit, static_argnames="draws")
def _ours(key, logits, draws):
    return sample_categorical(key, logits, (draws,))


@partial(jax.jit, static_argnames="draws")
def _host(key, logits, draws):
    # One at a time, where all at once would not fit in memory.
    keys = jax.random.split(key, max(1, draws // 10_000))
    shape = (-(-draws // len(keys)),)
    return jax.lax.map(lambda key: jax.random.categorical(key, logits, shape=shape), keys).ravel()
