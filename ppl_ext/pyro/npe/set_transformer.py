"""Attention among the rows of a set, for the flow that is conditioned on what they tell."""

import math

import torch
from torch.nn import functional

from ppl_ext.npe.attention import check_attention
from ppl_ext.npe.features import Layout
from ppl_ext.pyro.npe.layers import Blocks, make_linear

__all__ = ["SetTransformer"]


class SetTransformer(torch.nn.Module):
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
        >>> from ppl_ext.npe.features import Layout
        >>> embedding = SetTransformer(Layout(vector_width=0, num_rows=3, row_width=2))
        >>> rows = torch.arange(6.0).reshape(3, 2)
        >>> one, other = embedding(rows.flatten()), embedding(rows.flip(0).flatten())
        >>> torch.allclose(one, other, atol=1e-5)
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
        super().__init__()
        self.layout, self.context_dim = layout, context_dim
        self.row = make_linear(layout.row_width, hidden)
        self.points = torch.nn.ParameterList(
            torch.randn(num_inducing, hidden) for _ in range(num_blocks)
        )
        self.gather, self.spread = (
            torch.nn.ModuleList(_Attention(hidden, num_heads) for _ in range(num_blocks))
            for _ in range(2)
        )
        self.query = torch.nn.Parameter(torch.randn(1, hidden))
        self.pool = _Attention(hidden, num_heads)
        self.out = Blocks(hidden + layout.vector_width + 1, hidden, 1, context_dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Sum up features ``[..., width]`` as ``[..., context_dim]``."""
        width = self.layout.vector_width
        alone, rows = features[..., :width], features[..., width:]
        rows = rows.unflatten(-1, (-1, self.layout.row_width))
        flagged = self.layout.flagged
        there = rows[..., -1] > 0.5 if flagged else torch.ones_like(rows[..., 0]).bool()
        running = self.row(rows)
        for points, gather, spread in zip(self.points, self.gather, self.spread, strict=True):
            running = spread(running, gather(points, running, there))
        pooled = self.pool(self.query, running, there)[..., 0, :]
        # An average does not know of how many.
        count = there.sum(-1, keepdim=True).clamp(min=1)
        share = (count / self.layout.num_rows).log()
        return self.out(torch.cat([alone, pooled, share], -1))


class _Attention(torch.nn.Module):
    """What each ``x[..., to, hidden]`` becomes after a look at the ``y[..., from, hidden]``."""

    def __init__(self, hidden: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.normalized = num_heads, (hidden,)
        self.query, self.key, self.value, self.told, self.inner = (
            make_linear(hidden, hidden) for _ in range(5)
        )
        self.outer = make_linear(hidden, hidden, zero=True)

    def forward(
        self, x: torch.Tensor, y: torch.Tensor, there: torch.Tensor | None = None
    ) -> torch.Tensor:
        look_at = self._normalize(y)
        read = (self.query(self._normalize(x)), self.key(look_at), self.value(look_at))
        query, key, value = (
            each.unflatten(-1, (self.num_heads, -1)).transpose(-2, -3) for each in read
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if there is None:
            weights = scores.softmax(-1)
        else:
            seen = there[..., None, None, :]
            # The second one is for sets of which nothing is there.
            weights = scores.masked_fill(~seen, -1e9).softmax(-1) * seen
        told = (weights @ value).transpose(-2, -3).flatten(-2)
        x = x + self.told(told)
        return x + self.outer(functional.silu(self.inner(self._normalize(x))))

    def _normalize(self, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, self.normalized)
