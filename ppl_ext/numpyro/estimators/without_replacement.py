"""Different draws of several variables together: the largest perturbed log-probabilities."""

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from ppl_ext.numpyro.gumbel.noise import gumbel_noise


def draw_different(rng_key, logits, count):
    """Draw outcomes without replacement, the variables one after the other.

    The outcomes are the leaves of a tree. The largest perturbed log-probability under a node is
    known before the node is opened, so that only ``count`` nodes need to be kept.

    Args:
        rng_key: Random key.
        logits: Logits with shape ``(*batch, variable, class)``, float32 or wider.
        count: Number of draws.

    Returns:
        Classes ``(count, *batch, variable)``; whether there is such an outcome, with shape
        ``(count, *batch)``; and the logarithm of the probability of all the others ``(*batch,)``,
        a sum of what was dropped.

    References:
        Kool, van Hoof, Welling (2019), Stochastic Beams and Where to Find Them, ICML,
        arXiv:1903.06059.
    """
    log_probs = stop_gradient(jax.nn.log_softmax(logits, -1))
    *batch, variables, classes = logits.shape
    # The beam is the last axis while it is built.
    first = jnp.arange(count) == 0
    start = jnp.broadcast_to(jnp.where(first, 0.0, -jnp.inf), (*batch, count))
    start = start.astype(logits.dtype)
    index = jnp.zeros((*batch, count, variables), int)
    rest = jnp.full(batch, -jnp.inf, logits.dtype)

    def open_nodes(carry, step):
        log_p, perturbed, index, rest = carry
        number, key, table = step
        below = log_p[..., None] + table[..., None, :]
        noise = gumbel_noise(key, below.shape, dtype=below.dtype)
        keys = condition(below + noise, perturbed[..., None]).reshape(*batch, count * classes)
        below = below.reshape(*batch, count * classes)
        perturbed, chosen = jax.lax.top_k(keys, count)
        kept = jnp.zeros(keys.shape, bool)
        kept = jnp.put_along_axis(kept, chosen, True, -1, inplace=False)
        dropped = jax.nn.logsumexp(jnp.where(kept, -jnp.inf, below), -1)
        index = jnp.take_along_axis(index, (chosen // classes)[..., None], -2)
        index = index.at[..., number].set(chosen % classes)
        log_p = jnp.take_along_axis(below, chosen, -1)
        return (log_p, perturbed, index, jnp.logaddexp(rest, dropped)), None

    steps = (
        jnp.arange(variables),
        jax.random.split(rng_key, variables),
        jnp.moveaxis(log_probs, -2, 0),
    )
    (log_p, _, index, rest), _ = jax.lax.scan(open_nodes, (start, start, index, rest), steps)
    return jnp.moveaxis(index, -2, 0), jnp.moveaxis(log_p, -1, 0) > -jnp.inf, rest


def condition(perturbed, maximum):
    """Shift perturbed values ``(*batch, child)`` so that their maximum is the one given."""
    top = perturbed.max(-1, keepdims=True)
    possible = (perturbed > -jnp.inf) & (maximum > -jnp.inf)
    perturbed, maximum = jnp.where(possible, perturbed, 0.0), jnp.where(possible, maximum, 0.0)
    top = jnp.where(possible, top, 0.0)
    gap = maximum - perturbed + jnp.log1p(-jnp.exp(perturbed - top))
    shifted = maximum - jnp.maximum(gap, 0.0) - jnp.log1p(jnp.exp(-jnp.abs(gap)))
    return jnp.where(possible, shifted, -jnp.inf)
