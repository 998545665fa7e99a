"""Attention among the rows of a set, for the flow that is conditioned on what they tell."""

import math

import jax
import jax.numpy as jnp

from ppl_ext.npe.attention import check_attention
from ppl_ext.npe.features import Layout
from ppl_ext.numpyro.npe.layers import (
    Params,
    init_blocks,
    init_linear,
    normalize,
    run_blocks,
    run_linear,
)

__all__ = ["SetTransformer"]


class SetTransformer:
    """Attention among the rows of a set, then a query that sums them up.

    Unlike `DeepSet` it reads rows beside each other, which pays where what a row tells hangs on
    the others: clusters, outliers, ranges. It is slower. The order of the rows does not matter,
    nor their number, and rows that are missing are not seen; rows see each other by way of a few
    inducing points, so that the cost grows with their number alone and not with its square.

    Args:
        layout: How the features lie.
        context_dim: Numbers that it gives.
        hidden: Width of its layers.
        num_blocks: Blocks of induced attention.
        num_heads: Heads of each attention; a divisor of ``hidden``.
        num_inducing: Inducing points of a block.

    Raises:
        ValueError: There are no rows, or the heads do not divide the width.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.npe.features import Layout
        >>> embedding = SetTransformer(Layout(vector_width=0, num_rows=3, row_width=2))
        >>> params, rows = embedding.init(jax.random.key(0)), jnp.arange(6.0).reshape(3, 2)
        >>> one, other = (embedding(params, each.ravel()) for each in (rows, rows[::-1]))
        >>> bool(jnp.allclose(one, other, atol=1e-5))
        True

    References:
        Lee, Lee, Kim, Kosiorek, Choi, Teh (2019), Set transformer: a framework for
        attention-based permutation-invariant neural networks, ICML, arXiv:1810.00825.
        Xiong, Yang, He, Zheng, Zheng, Xing, Zhang, Lan, Wang, Liu (2020), On layer normalization
        in the transformer architecture, ICML, arXiv:2002.04745 (norms before each layer).
    """

    def __init__(
        self,
        layout: Layout,
        context_dim: int = 32,
        hidden: int = 64,
        num_blocks: int = 2,
        num_heads: int = 4,
        num_inducing: int = 16,
    ) -> None:
        check_attention(layout, hidden, num_heads)
        self.layout, self.context_dim, self.hidden = layout, context_dim, hidden
        self.num_blocks, self.num_heads, self.num_inducing = num_blocks, num_heads, num_inducing

    def init(self, rng_key: jax.Array) -> Params:
        """Draw weights."""
        row, query, pool, out, *keys = jax.random.split(rng_key, 4 + self.num_blocks)
        pooled = self.hidden + self.layout.vector_width + 1
        return {
            "row": init_linear(row, self.layout.row_width, self.hidden),
            "blocks": [self._init_induced(key) for key in keys],
            "query": jax.random.normal(query, (1, self.hidden)),
            "pool": _init_attention(pool, self.hidden),
            "out": init_blocks(out, pooled, self.hidden, 1, self.context_dim),
        }

    def __call__(self, params: Params, features: jax.Array) -> jax.Array:
        """Sum up features ``[..., width]`` as ``[..., context_dim]``."""
        layout = self.layout
        alone, rows = jnp.split(features, (layout.vector_width,), -1)
        rows = rows.reshape(*rows.shape[:-1], -1, layout.row_width)
        there = rows[..., -1] > 0.5 if layout.flagged else jnp.ones(rows.shape[:-1], bool)
        running = run_linear(params["row"], rows)
        for block in params["blocks"]:
            told = self._attend(block["gather"], block["points"], running, there)
            running = self._attend(block["spread"], running, told)
        pooled = self._attend(params["pool"], params["query"], running, there)[..., 0, :]
        # An average does not know of how many.
        count = jnp.maximum(1, there.sum(-1, keepdims=True))
        share = jnp.log(count / layout.num_rows)
        return run_blocks(params["out"], jnp.concatenate([alone, pooled, share], -1))

    def _init_induced(self, rng_key: jax.Array) -> Params:
        points, gather, spread = jax.random.split(rng_key, 3)
        return {
            "points": jax.random.normal(points, (self.num_inducing, self.hidden)),
            "gather": _init_attention(gather, self.hidden),
            "spread": _init_attention(spread, self.hidden),
        }

    def _attend(
        self, params: Params, x: jax.Array, y: jax.Array, there: jax.Array | None = None
    ) -> jax.Array:
        """What each ``x[..., to, hidden]`` becomes by a look at the ``y[..., from, hidden]``."""
        look_at = normalize(y)
        read = (
            run_linear(params[name], each).reshape(*each.shape[:-1], self.num_heads, -1)
            for name, each in (("query", normalize(x)), ("key", look_at), ("value", look_at))
        )
        query, key, value = (jnp.swapaxes(each, -2, -3) for each in read)
        scores = query @ jnp.swapaxes(key, -1, -2) / math.sqrt(query.shape[-1])
        if there is None:
            weights = jax.nn.softmax(scores, -1)
        else:
            seen = there[..., None, None, :]
            # The second one is for sets of which nothing is there.
            weights = jax.nn.softmax(jnp.where(seen, scores, -1e9), -1) * seen
        told = jnp.swapaxes(weights @ value, -2, -3)
        x = x + run_linear(params["told"], told.reshape(*told.shape[:-2], self.hidden))
        inner = jax.nn.silu(run_linear(params["inner"], normalize(x)))
        return x + run_linear(params["outer"], inner)


def _init_attention(rng_key: jax.Array, hidden: int) -> Params:
    keys = jax.random.split(rng_key, 6)
    names = ("query", "key", "value", "told", "inner", "outer")
    return {
        name: init_linear(key, hidden, hidden, zero=name == "outer")
        for name, key in zip(names, keys, strict=True)
    }
