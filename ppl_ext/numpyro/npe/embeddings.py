"""Networks that sum an observation up for the flow that is conditioned on it."""

import functools
import math

import jax
import jax.numpy as jnp

from ppl_ext.npe.features import Layout
from ppl_ext.numpyro.npe.layers import Params, init_blocks, run_blocks

__all__ = ["Convolution", "DeepSet", "ResidualMLP"]


class ResidualMLP:
    """A residual network of fully connected layers.

    Not for long series or images, whose weights it cannot share, nor for rows in no order.

    Args:
        layout: How the features lie.
        context_dim: Numbers that it gives.
        hidden: Width of its layers.
        num_blocks: Residual blocks of two layers each.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.npe.features import Layout
        >>> embedding = ResidualMLP(Layout(vector_width=5))
        >>> params = embedding.init(jax.random.key(0))
        >>> embedding(params, jnp.zeros((7, 5))).shape
        (7, 32)

    References:
        He, Zhang, Ren, Sun (2016), Deep residual learning for image recognition, CVPR,
        arXiv:1512.03385.
    """

    def __init__(
        self, layout: Layout, context_dim: int = 32, hidden: int = 64, num_blocks: int = 2
    ) -> None:
        self.layout, self.context_dim = layout, context_dim
        self.hidden, self.num_blocks = hidden, num_blocks

    def init(self, rng_key: jax.Array) -> Params:
        """Draw weights."""
        return init_blocks(
            rng_key, self.layout.width, self.hidden, self.num_blocks, self.context_dim
        )

    def __call__(self, params: Params, features: jax.Array) -> jax.Array:
        """Sum up features ``[..., width]`` as ``[..., context_dim]``."""
        return run_blocks(params, features)


class DeepSet:
    """A network of each row, pooled by mean and maximum, and a network of what comes of it.

    The order of the rows does not matter, nor their number. What stands beside the set is read
    with its sum. Where the rows are not exchangeable it does not see which is which: take
    `ResidualMLP` there.

    Args:
        layout: How the features lie.
        context_dim: Numbers that it gives.
        hidden: Width of its layers.
        num_blocks: Residual blocks behind the pool.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.npe.features import Layout
        >>> embedding = DeepSet(Layout(vector_width=0, num_rows=3, row_width=2))
        >>> params, rows = embedding.init(jax.random.key(0)), jnp.arange(6.0).reshape(3, 2)
        >>> one, other = (embedding(params, each.ravel()) for each in (rows, rows[::-1]))
        >>> bool(jnp.allclose(one, other, atol=1e-5))
        True

    References:
        Zaheer, Kottur, Ravanbakhsh, Poczos, Salakhutdinov, Smola (2017), Deep sets, NeurIPS,
        arXiv:1703.06114.
    """

    def __init__(
        self, layout: Layout, context_dim: int = 32, hidden: int = 64, num_blocks: int = 2
    ) -> None:
        self.layout, self.context_dim = layout, context_dim
        self.hidden, self.num_blocks = hidden, num_blocks

    def init(self, rng_key: jax.Array) -> Params:
        """Draw weights."""
        row_key, pool_key = jax.random.split(rng_key)
        pooled = 2 * self.hidden + self.layout.vector_width + 1
        return {
            "row": init_blocks(row_key, self.layout.row_width, self.hidden, 1, self.hidden),
            "pool": init_blocks(pool_key, pooled, self.hidden, self.num_blocks, self.context_dim),
        }

    def __call__(self, params: Params, features: jax.Array) -> jax.Array:
        """Sum up features ``[..., width]`` as ``[..., context_dim]``."""
        layout = self.layout
        alone, rows = jnp.split(features, (layout.vector_width,), -1)
        rows = rows.reshape(*rows.shape[:-1], -1, layout.row_width)
        there = rows[..., -1:] if layout.flagged else jnp.ones_like(rows[..., :1])
        read = jax.nn.silu(run_blocks(params["row"], rows)) * there
        count = jnp.maximum(1.0, there.sum(-2))
        pooled = [read.sum(-2) / count, read.max(-2), jnp.log(count / max(1, layout.num_rows))]
        return run_blocks(params["pool"], jnp.concatenate([alone, *pooled], -1))


class Convolution:
    """One-dimensional convolutions over a series or a spectrum, each halving its length.

    Args:
        layout: How the features lie: a series in order, its channels side by side at every step.
        context_dim: Numbers that it gives.
        channels: Numbers at a step of the series.
        filters: Filters of the first convolution; each that follows has twice as many, up to 128.
        kernel: Steps that a filter sees.

    Raises:
        ValueError: The features cannot be divided into channels, or stand in a set.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.npe.features import Layout
        >>> embedding = Convolution(Layout(vector_width=100))
        >>> params = embedding.init(jax.random.key(0))
        >>> embedding(params, jnp.zeros((7, 100))).shape
        (7, 32)

    References:
        LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document
        recognition, Proceedings of the IEEE 86(11).
    """

    def __init__(
        self,
        layout: Layout,
        context_dim: int = 32,
        channels: int = 1,
        filters: int = 16,
        kernel: int = 5,
    ) -> None:
        if layout.num_rows or layout.vector_width % channels:
            raise ValueError(
                f"Convolution: {layout.width} features cannot be divided into {channels} channels "
                "of a series; expected a series alone. Write "
                "functools.partial(Convolution, channels=...), or leave embedding= out."
            )
        self.layout, self.context_dim = layout, context_dim
        self.channels, self.filters, self.kernel = channels, filters, kernel

    @functools.cached_property
    def _widths(self) -> list[int]:
        length, widths = self.layout.vector_width // self.channels, [self.channels]
        while length > 8:
            widths.append(min(128, self.filters * 2 ** (len(widths) - 1)))
            length = -(-length // 2)
        return widths

    def init(self, rng_key: jax.Array) -> Params:
        """Draw weights."""
        *keys, last = jax.random.split(rng_key, len(self._widths))
        shapes = zip(self._widths[:-1], self._widths[1:], strict=True)
        filters = [
            jax.random.normal(key, (self.kernel, i, o)) / math.sqrt(self.kernel * i)
            for key, (i, o) in zip(keys, shapes, strict=True)
        ]
        length = self.layout.vector_width // self.channels
        for _ in filters:
            length = -(-length // 2)
        flat = length * self._widths[-1]
        return {"filters": filters, "out": init_blocks(last, flat, 64, 1, self.context_dim)}

    def __call__(self, params: Params, features: jax.Array) -> jax.Array:
        """Sum up features ``[..., width]`` as ``[..., context_dim]``."""
        batch = features.shape[:-1]
        running = features.reshape(-1, self.layout.vector_width // self.channels, self.channels)
        for weights in params["filters"]:
            running = jax.nn.silu(
                jax.lax.conv_general_dilated(
                    running, weights, (2,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
                )
            )
        return run_blocks(params["out"], running.reshape(*batch, -1))
