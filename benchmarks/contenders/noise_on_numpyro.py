"""The grid of Gumbel noise in NumPyro, beside JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
from noise_grid import first_half_wins, rare_ratio, total_variation

from ppl_ext.numpyro.distributions import sample_categorical
from ppl_ext.numpyro.distributions.noise import uniform_to_gumbel

__all__ = ["run"]

TOP = 2**22


def run(draws: int, gaps: list[float]) -> dict:
    """Measure our noise and the host's."""
    jax.config.update("jax_enable_x64", False)
    n = np.arange(TOP)
    ours = uniform_to_gumbel(-(jnp.asarray(n, jnp.float32) + 0.5) * 2.0**-32)
    theirs = -jnp.log(-jnp.log(jnp.asarray(1 - (n + 1) * 2.0**-23, jnp.float32)))
    key, other = jax.random.split(jax.random.key(0))
    logits = jax.random.normal(key, (1000,)).astype(jnp.bfloat16)
    host = [
        jax.random.categorical(each, logits, shape=(10_000,))
        for each in jax.random.split(other, max(1, draws // 100_000))
    ]
    sides = {
        "ours": (ours, 2.0**-32, sample_categorical(other, logits, (draws,))),
        "host": (theirs, 2.0**-23, jnp.concatenate(host)),
    }
    return {
        side: {
            "rare": [rare_ratio(np.asarray(values), share, gap) for gap in gaps],
            "half": first_half_wins(np.asarray(values), share, 1_000_000),
            "tv": total_variation(np.asarray(index), np.asarray(logits.astype(float))),
        }
        for side, (values, share, index) in sides.items()
    }
