"""The conditional density that is learned: an embedding, and a flow given what it says."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from ppl_ext.npe.features import Layout
from ppl_ext.numpyro.flows import AutoregressiveFlow
from ppl_ext.numpyro.flows.distribution import FlowDistribution
from ppl_ext.numpyro.npe.embeddings import DeepSet, ResidualMLP
from ppl_ext.numpyro.tracing.fingerprint import take_fingerprint

__all__ = ["Network", "build_network", "flatten_weights"]

_ROWS = 2**13  # of one batch: what fits the cache of a core, and no memory that grows

Factory = Callable[..., Any]


@dataclass(frozen=True)
class Network:
    """The density of coordinates given features; several of them are averaged.

    Args:
        embedding: From features to a context.
        density: ``(params, context) -> distribution``.
        identity: What tells it from others; equal networks share their compiled programs.
    """

    embedding: Any = field(compare=False)
    density: Any = field(compare=False)
    identity: Any

    @property
    def names(self) -> list[str]:
        """Class names of density and embedding, by which a file knows them."""
        return [type(self.density).__name__, type(self.embedding).__name__]

    def init(self, rng_key: jax.Array) -> dict[str, Any]:
        """Weights of one member."""
        first, second = jax.random.split(rng_key)
        return {"embedding": self.embedding.init(first), "density": self.density.init(second)}

    def given(self, weights: dict[str, Any], f: jax.Array) -> Any:
        """The distribution of one member given features ``[..., width]``."""
        return self.given_context(weights, self.embedding(weights["embedding"], f))

    def given_context(self, weights: dict[str, Any], context: jax.Array) -> Any:
        """The distribution of one member given contexts ``[..., context_dim]``."""
        q = self.density(weights["density"], context)
        if "noise" not in weights:
            return q
        # Fitted to held-out pairs, which what trains on does not know.
        scale, df = jax.lax.stop_gradient(weights["noise"])
        origin, tril = jnp.zeros(q.flow.dim), scale * jnp.eye(q.flow.dim)
        base = dist.MultivariateStudentT(df, origin, tril, validate_args=False)
        return FlowDistribution(q.flow, q.params, q.context, base)

    def log_q(self, weights: Any, u: np.ndarray, f: np.ndarray) -> np.ndarray:
        """Log density of coordinates, averaged over the members.

        Args:
            weights: Of all members, ``[member, ...]``.
            u: ``[observation, draw, dim]``.
            f: ``[observation, width]``.

        Returns:
            ``[observation, draw]``, float64.
        """
        program = _compile_log_q(self)
        draws = u.shape[1]
        parts = []
        for rows, padded in _in_batches(len(f), max(1, _ROWS // draws), f):
            each = np.zeros((len(padded), draws, u.shape[2]), np.float32)
            each[: rows.stop - rows.start] = u[rows]
            log_q = np.asarray(program(weights, each, padded), float)
            parts.append(log_q[: rows.stop - rows.start])
        return np.concatenate(parts)

    def sample(self, weights: Any, seed: int, f: np.ndarray, num_draws: int) -> np.ndarray:
        """Draw coordinates, from all members alike.

        Args:
            weights: Of all members, ``[member, ...]``.
            seed: Seed.
            f: ``[observation, width]``.
            num_draws: Draws for each observation.

        Returns:
            ``[observation, draw, dim]``.
        """
        key = jax.random.key(seed)
        members = len(jax.tree.leaves(weights)[0])
        share = -(-num_draws // members)
        program = _compile_sample(self)
        parts = []
        for rows, padded in _in_batches(len(f), max(1, _ROWS // (share * members)), f):
            batch_key = jax.random.fold_in(key, rows.start)
            drawn = np.asarray(program(weights, batch_key, padded, share))
            parts.append(drawn[: rows.stop - rows.start])
        drawn = np.concatenate(parts)
        # Draws of the members side by side, so that what is cut off is of all of them.
        return np.swapaxes(drawn, 1, 2).reshape(len(f), -1, drawn.shape[-1])[:, :num_draws]


def build_network(
    dim: int, layout: Layout, estimator: Factory | None, embedding: Factory | None
) -> Network:
    """Put a network together.

    Args:
        dim: Number of coordinates.
        layout: How the features lie.
        estimator: ``(dim, context_dim) -> conditional density``; a spline flow if None.
        embedding: ``layout -> embedding``; one that suits the features if None.
    """
    if embedding is None:
        embedding = DeepSet if layout.num_rows else ResidualMLP
    if estimator is None:
        estimator = AutoregressiveFlow
    built = embedding(layout)
    density = estimator(dim, built.context_dim)
    identity = take_fingerprint((estimator, embedding)), dim, layout
    return Network(built, density, identity)


def flatten_weights(weights: Any) -> dict[str, Any]:
    """The arrays of a tree, by the path to them, as files know them."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(weights)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _in_batches(count: int, size: int, f: np.ndarray):
    """Slices of rows, with their features padded to one size that is compiled for."""
    size = min(size, 2 ** math.ceil(math.log2(count)))
    for start in range(0, count, size):
        rows = slice(start, min(start + size, count))
        padded = np.zeros((size, f.shape[1]), np.float32)
        padded[: rows.stop - start] = f[rows]
        yield rows, padded


@functools.lru_cache(maxsize=32)
def _compile_log_q(network: Network) -> Callable[..., jax.Array]:
    @jax.jit
    def log_q(weights, u, f):
        def one(weights):
            context = network.embedding(weights["embedding"], f)
            return network.given_context(weights, context[:, None]).log_prob(u)

        each = jax.vmap(one)(weights)
        return jax.nn.logsumexp(each, 0) - jnp.log(len(each))

    return log_q


@functools.lru_cache(maxsize=32)
def _compile_sample(network: Network) -> Callable[..., jax.Array]:
    @functools.partial(jax.jit, static_argnums=3)
    def sample(weights, rng_key, f, share):
        def one(weights, rng_key):
            return network.given(weights, f).sample(rng_key, (share,))

        members = len(jax.tree.leaves(weights)[0])
        drawn = jax.vmap(one)(weights, jax.random.split(rng_key, members))
        return jnp.moveaxis(drawn, 2, 0)  # [observation, member, draw, dim]

    return sample
