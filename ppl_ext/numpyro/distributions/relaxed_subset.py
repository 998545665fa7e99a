"""Relaxed subsets of a given size."""

import jax
import jax.numpy as jnp

from ppl_ext.estimators.arguments import check_size
from ppl_ext.numpyro.gumbel.categorical_draws import straight_through
from ppl_ext.numpyro.gumbel.logits import (
    count_possible,
    read_class_logits,
    read_temperature,
    widen,
)
from ppl_ext.numpyro.gumbel.noise import gumbel_noise

__all__ = ["relaxed_top_k"]


def relaxed_top_k(
    rng_key: jax.Array,
    logits: jax.Array,
    k: int,
    temperature: jax.Array | float,
    sample_shape: tuple[int, ...] = (),
    *,
    hard: bool = False,
) -> jax.Array:
    r"""Draw relaxed subsets of ``k`` classes: ``k`` softmaxes, each without the ones before.

    .. math:: x = \sum_{r=1}^k p^r, \quad p^r = \mathrm{softmax}(\alpha^r / \tau), \quad
        \alpha^1 = \theta + G, \quad \alpha^{r+1} = \alpha^r + \log(1 - p^r)

    As the temperature falls, the draws become those of ``PlackettLuce`` without their order. The
    relaxed draws have no known density, so this is a function and no distribution; for a
    log-probability use ``PlackettLuce``.

    Args:
        rng_key: Random key.
        logits: Unnormalised log-probabilities ``(*batch, class)``; ``-inf`` rules a class out.
        k: Size of the subsets, at least 1 and at most the number of possible classes.
        temperature: Positive, with a shape that broadcasts against ``(*batch,)``.
        sample_shape: Draws of each member of the batch, which come first.
        hard: Whether the values are 0 or 1, with the gradient of the relaxed ones.

    Returns:
        Memberships ``(*sample_shape, *batch, class)``, which sum to ``k``.

    Raises:
        ValueError: ``k`` is no whole number from 1 to the number of possible classes, a
            temperature that is not positive or does not broadcast, no logits or NaN, integers.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> logits = jnp.array([0.0, 1.0, 2.0, 3.0])
        >>> soft = relaxed_top_k(jax.random.key(0), logits, 2, 0.5, (1000,))
        >>> soft.shape, round(float(soft.sum(-1).mean()), 4)
        ((1000, 4), 2.0)
        >>> sorted(relaxed_top_k(jax.random.key(0), logits, 2, 0.5, hard=True).tolist())
        [0.0, 0.0, 1.0, 1.0]

    References:
        Xie, Ermon (2019), Reparameterizable Subset Sampling via Continuous Relaxations, IJCAI,
        arXiv:1901.10517.
    """
    called = "relaxed_top_k"
    logits = read_class_logits(called, None, logits, None)
    check_size(called, k, count_possible(logits, None))
    temperature = read_temperature(called, temperature, logits, logits.shape[:-1], None)
    wide = widen(logits)
    batch_shape = jnp.broadcast_shapes(temperature.shape, logits.shape[:-1])
    shape = (*sample_shape, *batch_shape, logits.shape[-1])
    possible = wide > -jnp.inf
    noise = gumbel_noise(rng_key, shape, dtype=wide.dtype)
    perturbed = jnp.where(possible, wide, 0.0) + noise
    alpha, soft = perturbed, jnp.zeros_like(perturbed)
    for _ in range(k):
        scores = jnp.where(possible, alpha / temperature[..., None], -jnp.inf)
        p = jax.nn.softmax(scores, -1)
        soft = soft + p
        alpha = alpha + _log_rest(scores, p)
    soft = soft.astype(logits.dtype)
    if not hard:
        return soft
    chosen = jax.lax.top_k(jnp.where(possible, perturbed, -jnp.inf), k)[1]
    return straight_through(jax.nn.one_hot(chosen, shape[-1], dtype=soft.dtype).sum(-2), soft)


def _log_rest(scores, p):
    """Return ``log(1 - p)``; for the largest by its rivals, as ``1 - p`` may be rounded away."""
    largest = jax.nn.one_hot(scores.argmax(-1), scores.shape[-1], dtype=bool)
    rivals = jax.nn.logsumexp(jnp.where(largest, -jnp.inf, scores), -1, keepdims=True)
    others = jnp.log1p(-jnp.where(largest, 0.0, p))
    return jnp.where(largest, rivals - jax.nn.logsumexp(scores, -1, keepdims=True), others)
