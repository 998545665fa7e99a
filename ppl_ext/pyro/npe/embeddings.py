"""Networks that sum an observation up for the flow that is conditioned on it."""

import math

import torch
from torch.nn import functional

from ppl_ext.npe.features import Layout
from ppl_ext.pyro.npe.layers import Blocks

__all__ = ["Convolution", "DeepSet", "ResidualMLP"]


class ResidualMLP(torch.nn.Module):
    """A residual network of fully connected layers.

    Not for long series or images, whose weights it cannot share, nor for rows in no order.

    Args:
        layout: How the features lie.
        context_dim: Numbers that it gives.
        hidden: Width of its layers.
        num_blocks: Residual blocks of two layers each.

    Example:
        >>> from ppl_ext.npe.features import Layout
        >>> embedding = ResidualMLP(Layout(vector_width=5))
        >>> embedding(torch.zeros(7, 5)).shape
        torch.Size([7, 32])

    References:
        He, Zhang, Ren, Sun (2016), Deep residual learning for image recognition, CVPR,
        arXiv:1512.03385.
    """

    def __init__(
        self, layout: Layout, context_dim: int = 32, hidden: int = 64, num_blocks: int = 2
    ) -> None:
        super().__init__()
        self.layout, self.context_dim = layout, context_dim
        self.hidden, self.num_blocks = hidden, num_blocks
        self.blocks = Blocks(layout.width, hidden, num_blocks, context_dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Sum up features ``[..., width]`` as ``[..., context_dim]``."""
        return self.blocks(features)


class DeepSet(torch.nn.Module):
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
        >>> from ppl_ext.npe.features import Layout
        >>> embedding = DeepSet(Layout(vector_width=0, num_rows=3, row_width=2))
        >>> rows = torch.arange(6.0).reshape(3, 2)
        >>> one, other = embedding(rows.flatten()), embedding(rows.flip(0).flatten())
        >>> torch.allclose(one, other, atol=1e-5)
        True

    References:
        Zaheer, Kottur, Ravanbakhsh, Poczos, Salakhutdinov, Smola (2017), Deep sets, NeurIPS,
        arXiv:1703.06114.
    """

    def __init__(
        self, layout: Layout, context_dim: int = 32, hidden: int = 64, num_blocks: int = 2
    ) -> None:
        super().__init__()
        self.layout, self.context_dim = layout, context_dim
        self.hidden, self.num_blocks = hidden, num_blocks
        self.row = Blocks(layout.row_width, hidden, 1, hidden)
        pooled = 2 * hidden + layout.vector_width + 1
        self.pool = Blocks(pooled, hidden, num_blocks, context_dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Sum up features ``[..., width]`` as ``[..., context_dim]``."""
        width = self.layout.vector_width
        alone, rows = features[..., :width], features[..., width:]
        rows = rows.unflatten(-1, (-1, self.layout.row_width))
        read = functional.silu(self.row(rows))
        if self.layout.flagged:
            there = rows[..., -1:]
            read = read * there
            count = there.sum(-2).clamp(min=1.0)
        else:
            count = read.new_full((*read.shape[:-2], 1), float(read.shape[-2]))
        share = (count / max(1, self.layout.num_rows)).log()
        pooled = [alone, read.sum(-2) / count, read.amax(-2), share]
        return self.pool(torch.cat(pooled, -1))


class Convolution(torch.nn.Module):
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
        >>> from ppl_ext.npe.features import Layout
        >>> embedding = Convolution(Layout(vector_width=100))
        >>> embedding(torch.zeros(7, 100)).shape
        torch.Size([7, 32])

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
        super().__init__()
        self.layout, self.context_dim = layout, context_dim
        self.channels, self.filters, self.kernel = channels, filters, kernel
        self.convolutions = torch.nn.ModuleList()
        length, width = layout.vector_width // channels, channels
        while length > 8:
            wider = min(128, filters * 2 ** len(self.convolutions))
            convolution = torch.nn.Conv1d(width, wider, kernel, stride=2, bias=False)
            torch.nn.init.normal_(convolution.weight, std=1 / math.sqrt(kernel * width))
            self.convolutions.append(convolution)
            length, width = -(-length // 2), wider
        self.out = Blocks(length * width, 64, 1, context_dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Sum up features ``[..., width]`` as ``[..., context_dim]``."""
        running = features.reshape(-1, features.shape[-1] // self.channels, self.channels)
        running = running.transpose(1, 2)
        for convolution in self.convolutions:
            length = running.shape[-1]
            # As many zeros on both sides as leave half of the length.
            around = max(0, 2 * (-(-length // 2) - 1) + self.kernel - length)
            running = functional.pad(running, (around // 2, around - around // 2))
            running = functional.silu(convolution(running))
        return self.out(running.reshape(*features.shape[:-1], -1))
