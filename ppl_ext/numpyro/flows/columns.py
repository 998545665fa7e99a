"""The network of an autoregressive layer, run for one coordinate after the other.

Every unit is computed once, when all that it reads is known: all coordinates together cost as much
as one pass of `apply_network`, not one pass each.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ppl_ext.numpyro.flows.networks import Weights, bend_inputs, read_layers

__all__ = ["Column", "begin_columns", "run_columns", "split_columns"]


class Column(NamedTuple):
    """The units of one layer that can be computed once a coordinate's predecessors are known.

    Args:
        weight: From the layer before, ``[input, unit]``.
        shift: Biases and what the context adds, ``[..., unit]``.
    """

    weight: jax.Array
    shift: jax.Array


def split_columns(network: Weights, context: jax.Array | None, dim: int) -> list[Column]:
    """Cut the layers of a network by the coordinates; those are in front of the arrays.

    Args:
        network: Weights; hidden unit ``k`` reads the first ``k % dim`` coordinates.
        context: Context ``[..., context_dim]``, or None.
        dim: Number of coordinates.
    """
    columns, layers = [], read_layers(network, context)
    for index, (weight, shift) in enumerate(layers):
        if index:  # the units before lie as they became known
            weight = _cut_units(weight.T, dim).swapaxes(1, 2).reshape(-1, weight.shape[1])
        cut = _cut_units if index < len(layers) - 1 else _cut_outputs
        columns.append(Column(cut(weight, dim), cut(shift, dim)))
    return columns


def begin_columns(hidden: Sequence[int], e: jax.Array) -> list[jax.Array]:
    """The hidden units before anything is known, zeros, for coordinates ``[..., dim]``."""
    *batch, dim = e.shape
    return [jnp.zeros((*batch, dim * -(-width // dim)), e.dtype) for width in hidden]


def run_columns(
    columns: Sequence[Column],
    hidden: Sequence[int],
    x: jax.Array,
    known: Sequence[jax.Array],
    index: jax.Array,
) -> tuple[jax.Array, list[jax.Array]]:
    """Compute the units that wait for the coordinates before this one, and no others.

    Args:
        columns: Those of the coordinate.
        hidden: Widths of the hidden layers.
        x: Coordinates ``[..., dim]``, zero where they are not known yet.
        known: Hidden units as the next layer reads them, zero where they are not known yet.
        index: The coordinate.

    Returns:
        What moves the coordinate ``[..., parameter]``, and what is known now.
    """
    read, running, after = bend_inputs(x), None, []
    for layer, (column, units) in enumerate(zip(columns[:-1], known, strict=True)):
        following = read @ column.weight + column.shift
        residual = layer and hidden[layer] == hidden[layer - 1]
        running = running + following if residual else following
        read = jax.lax.dynamic_update_slice_in_dim(
            units, jax.nn.silu(running), index * running.shape[-1], -1
        )
        after.append(read)
    return read @ columns[-1].weight + columns[-1].shift, after


def _cut_units(array: jax.Array, dim: int) -> jax.Array:
    """``[..., unit]`` as ``[coordinate, ..., unit]``, filled with zeros where one has fewer."""
    width = array.shape[-1]
    filled = jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, -width % dim)])
    return jnp.moveaxis(filled.reshape(*array.shape[:-1], -1, dim), -1, 0)


def _cut_outputs(array: jax.Array, dim: int) -> jax.Array:
    """``[..., output]`` as ``[coordinate, ..., output]``."""
    return jnp.moveaxis(array.reshape(*array.shape[:-1], dim, -1), -2, 0)
