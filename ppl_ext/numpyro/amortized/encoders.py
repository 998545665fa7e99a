"""The encoder of rows: the network that is taken by default, and one of the user's own."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ppl_ext.npe.features import Layout
from ppl_ext.numpyro.npe.embeddings import ResidualMLP

__all__ = ["check_encoder", "join_presence", "make_encoder", "measure", "standardise"]

Encoder = tuple[Callable[[Any, jax.Array], jax.Array], Any]


def check_encoder(encoder: Any) -> None:
    """Refuse what is no function beside its weights."""
    pair = isinstance(encoder, tuple) and len(encoder) == 2 and callable(encoder[0])
    if encoder is not None and not pair:
        raise ValueError(
            f"AutoAmortized: encoder is a {type(encoder).__name__}; expected a function of "
            "weights and rows, and the weights to start from. Write encoder=(function, weights)."
        )


def make_encoder(encoder: Encoder | None, width: int, num_outputs: int) -> Encoder:
    """A function of weights and rows, and its first weights or a function that draws them.

    Args:
        encoder: That of the user; None for `ResidualMLP`.
        width: Numbers of a row.
        num_outputs: Numbers that it is to give.
    """
    if encoder is None:
        network = ResidualMLP(Layout(vector_width=width), num_outputs)
        return network, network.init
    return encoder[0], jax.tree.map(jnp.asarray, encoder[1])


def join_presence(features: jax.Array, present: jax.Array | None) -> jax.Array:
    """Rows with zeros where values are missing, and beside them flags of what is there."""
    if present is None:
        return features
    seen = jnp.where(present, features, 0.0)
    return jnp.concatenate([seen, present.astype(seen.dtype)], -1)


def measure(features: jax.Array, present: jax.Array | None) -> dict[str, jax.Array]:
    """Mean and standard deviation of every column of ``features[row, width]``."""
    there = jnp.ones(features.shape, bool) if present is None else present
    average = functools.partial(jnp.mean, axis=0, where=there)
    loc = jnp.nan_to_num(average(features))
    scale = jnp.sqrt(jnp.nan_to_num(average((features - loc) ** 2)))
    return {"loc": loc, "scale": jnp.where(scale > 0, scale, 1.0)}


def standardise(features: jax.Array, scaling: dict[str, jax.Array]) -> jax.Array:
    """Bring columns to mean 0 and standard deviation 1; nothing of it is learned."""
    loc, scale = jax.lax.stop_gradient((scaling["loc"], scaling["scale"]))
    return (features - loc) / scale
