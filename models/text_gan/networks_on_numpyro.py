"""The generator and the critic of the sequence GAN, in JAX."""

import jax
import jax.numpy as jnp

from models.text_gan.data import LENGTH, SYMBOLS
from models.text_gan.recipe import CODE, CRITIC, HIDDEN

__all__ = ["CLASSES", "criticize", "log_likelihood", "make_critic", "make_generator", "write"]

CLASSES = len(SYMBOLS)


def make_generator(rng_key):
    """Weights of an LSTM that reads its last symbol, the position and the code."""
    cell_key, out_key = jax.random.split(rng_key)
    cell = _make_layer(cell_key, CLASSES + HIDDEN + LENGTH + CODE, 4 * HIDDEN)
    return {"cell": cell, "out": _make_layer(out_key, HIDDEN, CLASSES)}


def make_critic(rng_key):
    """Weights of a network from a whole string to its score."""
    sizes = [(LENGTH * CLASSES, CRITIC), (CRITIC, CRITIC), (CRITIC, 1)]
    keys = jax.random.split(rng_key, len(sizes))
    return [_make_layer(key, *size) for key, size in zip(keys, sizes, strict=True)]


def _make_layer(rng_key, inputs, outputs):
    width = inputs**-0.5
    weight = jax.random.uniform(rng_key, (inputs, outputs), minval=-width, maxval=width)
    return weight, jnp.zeros(outputs)


def criticize(critic, strings):
    """Score strings ``[string, position, symbol]``."""
    *hidden, (weight, bias) = critic
    state = strings.reshape(len(strings), -1)
    for layer_weight, layer_bias in hidden:
        state = jax.nn.leaky_relu(state @ layer_weight + layer_bias, 0.2)
    return (state @ weight + bias)[:, 0]


def _advance(generator, code, position, state, symbol):
    """One step of the LSTM: the new state, and the logits of the next symbol."""
    hidden, memory = state
    weight, bias = generator["cell"]
    # Told the position, it need not count to know where a string has to end.
    position = jnp.broadcast_to(jax.nn.one_hot(position, LENGTH), (len(symbol), LENGTH))
    gates = jnp.concatenate([symbol, hidden, position, code], -1) @ weight + bias
    enter, keep, leave, new = jnp.split(gates, 4, -1)
    # A memory that is kept at first lets gradients reach the beginning.
    memory = jax.nn.sigmoid(keep + 1) * memory + jax.nn.sigmoid(enter) * jnp.tanh(new)
    hidden = jax.nn.sigmoid(leave) * jnp.tanh(memory)
    weight, bias = generator["out"]
    return (hidden, memory), hidden @ weight + bias


def write(rng_key, generator, count, draw, temperature=1.0):
    """Write strings, ``[string, position, symbol]``."""
    code_key, key = jax.random.split(rng_key)
    code = jax.random.normal(code_key, (count, CODE))

    def step(carry, given):
        position, rng_key = given
        state, logits = _advance(generator, code, position, *carry)
        symbol = draw(rng_key, logits, temperature)
        return (state, symbol), symbol

    state = jnp.zeros((count, HIDDEN)), jnp.zeros((count, HIDDEN))
    start = state, jnp.zeros((count, CLASSES))
    given = jnp.arange(LENGTH), jax.random.split(key, LENGTH)
    return jax.lax.scan(step, start, given)[1].swapaxes(0, 1)


def log_likelihood(generator, strings):
    """Log-probability of strings, ``[string]``, by a generator whose code is zero."""
    code = jnp.zeros((len(strings), CODE))
    before = jnp.roll(strings, 1, axis=1).at[:, 0].set(0.0)

    def step(state, given):
        position, symbol = given
        return _advance(generator, code, position, state, symbol)

    state = jnp.zeros((len(strings), HIDDEN)), jnp.zeros((len(strings), HIDDEN))
    given = jnp.arange(LENGTH), before.swapaxes(0, 1)
    logits = jax.lax.scan(step, state, given)[1].swapaxes(0, 1)
    return (strings * jax.nn.log_softmax(logits)).sum((1, 2))
