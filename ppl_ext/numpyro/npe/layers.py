"""Layers that the embeddings are made of: weights as dictionaries, and functions of them."""

import math
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["Params", "init_blocks", "init_linear", "normalize", "run_blocks", "run_linear"]

Params = dict[str, Any]


def init_linear(rng_key: jax.Array, inputs: int, outputs: int, zero: bool = False) -> Params:
    """Weights of a linear layer."""
    if zero:
        return {"weight": jnp.zeros((inputs, outputs)), "bias": jnp.zeros(outputs)}
    # Small weights and biases all over: what is learned from few pairs holds better for others.
    keys, reach = jax.random.split(rng_key), 1 / math.sqrt(max(1, inputs))
    return {
        "weight": jax.random.uniform(keys[0], (inputs, outputs), minval=-reach, maxval=reach),
        "bias": jax.random.uniform(keys[1], (outputs,), minval=-reach, maxval=reach),
    }


def init_blocks(rng_key: jax.Array, inputs: int, hidden: int, blocks: int, outputs: int) -> Params:
    """Weights of residual blocks of two layers each, between a first and a last layer."""
    first, last, *keys = jax.random.split(rng_key, 2 + 2 * blocks)
    return {
        "first": init_linear(first, inputs, hidden),
        # A block begins as nothing, so that deep networks begin as shallow ones.
        "blocks": [
            (
                init_linear(keys[2 * i], hidden, hidden),
                init_linear(keys[2 * i + 1], hidden, hidden, zero=True),
            )
            for i in range(blocks)
        ],
        "last": init_linear(last, hidden, outputs),
    }


def run_blocks(params: Params, x: jax.Array) -> jax.Array:
    """Residual blocks at ``x[..., inputs]``: ``[..., outputs]``."""
    running = run_linear(params["first"], x)
    for inner, outer in params["blocks"]:
        read = jax.nn.silu(run_linear(inner, normalize(running)))
        running = running + run_linear(outer, read)
    return run_linear(params["last"], normalize(running))


def run_linear(params: Params, x: jax.Array) -> jax.Array:
    """A linear layer at ``x[..., inputs]``: ``[..., outputs]``."""
    return x @ params["weight"] + params["bias"]


def normalize(x: jax.Array) -> jax.Array:
    """Bring numbers ``[..., width]`` to mean 0 and variance 1 along the last axis."""
    return (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)
