"""The network of one layer: what a coordinate is moved by, as a function of others."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["apply_network", "bend_inputs", "init_network", "order_masks", "read_layers"]

_LINEAR = 5.0  # inputs are as they are within, and logarithms far beyond

Weights = dict[str, list[jax.Array] | jax.Array]


def init_network(
    rng_key: jax.Array, inputs: int, context_dim: int, hidden: Sequence[int], outputs: int
) -> Weights:
    """Weights of a network that gives zeros, whatever it reads.

    Args:
        rng_key: Random key.
        inputs: Coordinates that it reads.
        context_dim: Width of the context; 0 for none.
        hidden: Widths of the hidden layers.
        outputs: Numbers that it gives.

    Returns:
        The weights.
    """
    dtype = jnp.result_type(float)
    widths = (inputs, *hidden, outputs)
    *inner, context_key = jax.random.split(rng_key, len(widths))
    weights = [
        jax.random.normal(key, shape, dtype) / math.sqrt(max(1, shape[0]))
        for key, shape in zip(inner, itertools.pairwise(widths), strict=True)
    ]
    weights[-1] = jnp.zeros_like(weights[-1])
    network: Weights = {
        "weights": weights,
        "biases": [jnp.zeros(width, dtype) for width in widths[1:]],
    }
    if context_dim:
        network["last_context"] = jnp.zeros((context_dim, outputs), dtype)
        if hidden:
            _shrink(network, context_key, inputs, context_dim, hidden)
    return network


def _shrink(
    network: Weights, rng_key: jax.Array, inputs: int, context_dim: int, hidden: Sequence[int]
) -> None:
    """Small weights and random biases, where a network learns from pairs and they are few.

    What it learns so holds better for other pairs: by .2 nats each on one task of ten thousand.
    """
    weights, biases = network["weights"], network["biases"]
    first, *bias_keys = jax.random.split(rng_key, 1 + len(hidden))
    fans = [inputs + context_dim, *hidden[:-1]]
    before = [max(1, inputs), *hidden[:-1]]
    for index, (fan, old, key) in enumerate(zip(fans, before, bias_keys, strict=True)):
        weights[index] = weights[index] * math.sqrt(old / fan / 3)
        reach = 1 / math.sqrt(fan)
        shape, dtype = biases[index].shape, biases[index].dtype
        biases[index] = jax.random.uniform(key, shape, dtype, -reach, reach)
    noise = jax.random.normal(first, (context_dim, hidden[0]), weights[0].dtype)
    network["first_context"] = noise / math.sqrt(3 * fans[0])


def apply_network(
    network: Weights,
    values: jax.Array,
    context: jax.Array | None,
    masks: Sequence[np.ndarray] | None = None,
) -> jax.Array:
    """Run a network.

    Args:
        network: Its weights.
        values: Coordinates ``[..., inputs]``.
        context: Context ``[..., context_dim]``, or None.
        masks: Which weights count, one matrix for each; all if None.

    Returns:
        Numbers ``[..., outputs]``.
    """
    running, layers = bend_inputs(values), read_layers(network, context)
    for index, (weight, shift) in enumerate(layers):
        read = jax.nn.silu(running) if index else running
        weight = weight if masks is None else jnp.where(masks[index], weight, 0.0)
        following = read @ weight + shift
        # Hidden layers of one width add to each other, which keeps deep networks trainable.
        residual = 0 < index < len(layers) - 1 and following.shape == running.shape
        running = running + following if residual else following
    return running


def read_layers(network: Weights, context: jax.Array | None) -> list[tuple[jax.Array, jax.Array]]:
    """What the layers of a network multiply by, and what they add.

    Args:
        network: Its weights.
        context: Context ``[..., context_dim]``, or None.

    Returns:
        For each layer ``[input, output]``, and biases with what the context adds,
        ``[..., output]``.
    """
    layers, last = [], len(network["weights"]) - 1
    for index, (weight, shift) in enumerate(
        zip(network["weights"], network["biases"], strict=True)
    ):
        # Or a step of Adam, which moves all weights alike, would move a wide layer too far.
        size = 1 / math.sqrt(len(weight)) if index == last and index else 1.0
        if context is not None and index == 0 < last:
            shift = shift + context @ network["first_context"]
        if context is not None and index == last:
            shift = shift + context @ network["last_context"]
        layers.append((size * weight, shift))
    return layers


def bend_inputs(values: jax.Array) -> jax.Array:
    """Coordinates as networks read them, ``[..., inputs]``: far ones by their logarithms."""
    return _LINEAR * jnp.arcsinh(values / _LINEAR)


def order_masks(dim: int, hidden: Sequence[int], repeats: int) -> list[np.ndarray]:
    """Masks by which the outputs of a coordinate depend on the coordinates before it alone.

    Args:
        dim: Number of coordinates.
        hidden: Widths of the hidden layers.
        repeats: Outputs of every coordinate, side by side.

    Returns:
        A matrix of flags ``[input, output]`` for each layer.
    """
    # A unit of number k may depend on the first k coordinates; those of 0 read the context alone.
    numbers = [np.arange(dim) + 1, *(np.arange(width) % dim for width in hidden)]
    masks = [after[None, :] >= before[:, None] for before, after in itertools.pairwise(numbers)]
    outputs = np.repeat(np.arange(dim), repeats)
    return [*masks, outputs[None, :] >= numbers[-1][:, None]]
