"""One-hot draws of several variables, their log-probabilities, and the score function."""

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from ppl_ext.numpyro.gumbel.categorical_draws import draw_class
from ppl_ext.numpyro.gumbel.logits import widen


def draw_one_hot(rng_key, logits, sample_shape=()):
    """Draw one-hot values ``(*sample_shape, *logits.shape)`` without gradients."""
    return to_one_hot(draw_class(rng_key, logits, sample_shape), logits)


def to_one_hot(index, logits):
    """Turn classes into one-hot vectors of the logits' type."""
    return jax.nn.one_hot(index, logits.shape[-1], dtype=logits.dtype)


def log_prob_of(z, logits):
    """Return the log-probability of the one-hot draws, the variables summed: ``(*draws, *batch)``.

    A class that is ruled out adds nothing, to the gradient neither.
    """
    log_probs = jax.nn.log_softmax(widen(logits), -1)
    return jnp.where(z > 0, log_probs, 0.0).sum((-2, -1))


def score(weight, log_prob):
    """Return zero, with the derivative of the log-probability times the weight."""
    return stop_gradient(weight) * (log_prob - stop_gradient(log_prob))
