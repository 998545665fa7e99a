"""Jacobians of the relaxed draw, averaged over the noise that a one-hot draw leaves open."""

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from ppl_ext.numpyro.gumbel.random_bits import random_words


def average_product(rng_key, log_probs, hard, vector, temperature, num_draws):
    r"""Multiply a vector by the mean Jacobian of the relaxed draw given the class drawn.

    Given the class, its perturbed logit is ``-log E``, and the others are
    ``-log(E + E_k / p_k)``, with exponential ``E``: relative to the largest, the weights of the
    softmax are ``(1 + E_k / (p_k E)) ** (-1 / temperature)``. Draws are made one after the other,
    again in the backward pass, and only their sum is kept.

    Args:
        rng_key: Random key.
        log_probs: Log-probabilities, with a shape that broadcasts against the vector's.
        hard: The one-hot draw, ``(*draws, *batch, class)``.
        vector: What to multiply, ``(*draws, *batch, class)``; the product is linear in it.
        temperature: Positive.
        num_draws: Number of draws of the noise.

    Returns:
        The product, of the vector's shape.
    """
    chosen = hard > 0
    weights = jnp.exp(-stop_gradient(log_probs))
    ratio = _ratio_to_itself(log_probs, chosen) / temperature

    # Nothing of a draw is kept for the backward pass: it is made again from its key.
    @jax.checkpoint
    def product(key, vector, weights, ratio):
        top_key, others_key = jax.random.split(key)
        top = jax.random.exponential(top_key, (*vector.shape[:-1], 1), vector.dtype)
        top = jnp.maximum(top, jnp.finfo(vector.dtype).tiny)
        others = _exponential(others_key, vector.shape, vector.dtype)
        below = jnp.log1p(others * (weights / top))
        # The class drawn is the largest, at zero: no other has to be taken off.
        soft = jnp.exp(jnp.where(chosen, 0.0, -below / temperature) + ratio)
        soft = soft / soft.sum(-1, keepdims=True)
        return (soft * vector - soft * (soft * vector).sum(-1, keepdims=True)) / temperature

    def add(total, key):
        return total + product(key, vector, weights, ratio), None

    keys = jax.random.split(rng_key, num_draws)
    total, _ = jax.lax.scan(add, jnp.zeros_like(vector), keys)
    return total / num_draws


def _ratio_to_itself(log_probs, chosen):
    """Return zeros that have the derivative of the log-ratios to the class drawn."""
    finite = jnp.where(log_probs > -jnp.inf, log_probs, 0.0)
    return finite - stop_gradient(finite)


def _exponential(key, shape, dtype):
    """Draw minus log-uniforms of 32 bits, never zero."""
    bits = random_words(key, shape)
    return -jnp.log(jnp.minimum((bits.astype(dtype) + 0.5) * 2.0**-32, 1 - 2.0**-24))
