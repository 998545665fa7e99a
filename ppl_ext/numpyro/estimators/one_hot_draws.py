"""One-hot draws of several variables: their probabilities, and gradients through them."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from ppl_ext.numpyro.gumbel.categorical_draws import draw_class
from ppl_ext.numpyro.gumbel.logits import check_classes, read_logits, widen


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


def draw_through(called, rng_key, logits, sample_shape, multiply, parameters=()):
    """Draw one-hot values; ``multiply(rng_key, logits, hard, vector, *parameters)`` derives them.

    The product has to be linear in the vector.
    """
    logits = read_path_logits(called, logits)
    draw_key, noise_key = jax.random.split(rng_key)
    index = draw_class(draw_key, logits, tuple(sample_shape))
    hard = to_one_hot(index, logits)
    return _through(multiply, logits, hard, noise_key, parameters)


def read_path_logits(called, logits):
    """Refuse what are no logits by type and shape; the values are the caller's care."""
    logits = read_logits(called, None, logits, False)
    check_classes(called, logits, False)
    return logits


def softmax_product(probs, vector):
    """Multiply a vector by the Jacobian of the softmax, which is symmetric."""
    product = probs * vector
    return product - probs * product.sum(-1, keepdims=True)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _through(multiply, logits, hard, rng_key, parameters):
    """Return the one-hot draws, whatever their logits are."""
    return hard


@_through.defjvp
def _through_jvp(multiply, primals, tangents):
    logits, hard, rng_key, parameters = primals
    vector = jnp.broadcast_to(widen(tangents[0]), hard.shape)
    product = multiply(rng_key, widen(logits), widen(hard), vector, *parameters)
    return hard, product.astype(hard.dtype)
