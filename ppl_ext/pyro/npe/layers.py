"""Layers that the embeddings are made of."""

import math

import torch
from torch.nn import functional

__all__ = ["Blocks", "make_linear"]


class Blocks(torch.nn.Module):
    """Residual blocks of two layers each, between a first and a last layer.

    Args:
        inputs: Numbers that it reads.
        hidden: Width of the layers.
        num_blocks: Number of blocks.
        outputs: Numbers that it gives.
    """

    def __init__(self, inputs: int, hidden: int, num_blocks: int, outputs: int) -> None:
        super().__init__()
        self.normalized = (hidden,)
        self.first = make_linear(inputs, hidden)
        self.inner = torch.nn.ModuleList(make_linear(hidden, hidden) for _ in range(num_blocks))
        # A block begins as nothing, so that deep networks begin as shallow ones.
        self.outer = torch.nn.ModuleList(
            make_linear(hidden, hidden, zero=True) for _ in range(num_blocks)
        )
        self.last = make_linear(hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Read ``x[..., inputs]`` as ``[..., outputs]``."""
        running = self.first(x)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            read = functional.silu(inner(functional.layer_norm(running, self.normalized)))
            running = running + outer(read)
        return self.last(functional.layer_norm(running, self.normalized))


def make_linear(inputs: int, outputs: int, zero: bool = False) -> torch.nn.Linear:
    """A linear layer with its first weights."""
    linear = torch.nn.Linear(inputs, outputs)
    torch.nn.init.normal_(linear.weight, std=0.0 if zero else 1 / math.sqrt(max(1, inputs)))
    torch.nn.init.zeros_(linear.bias)
    return linear
