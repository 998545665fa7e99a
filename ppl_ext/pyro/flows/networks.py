"""The networks of a flow, from zuko, which is imported here and nowhere else.

Importing zuko switches torch's validation of arguments off for the whole process, so that
``Normal(0, -1)`` would be NaN instead of an error; here the switch is put back.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.distributions import Distribution
from torch.distributions.transforms import _InverseTransform

__all__ = ["Constant", "make_network", "reset_network"]


@contextmanager
def _torch_untouched() -> Iterator[None]:
    validated, name = Distribution._validate_args, _InverseTransform.__name__
    try:
        yield
    finally:
        Distribution.set_default_validate_args(validated)
        _InverseTransform.__name__ = name


with _torch_untouched():
    from zuko.nn import MLP, MaskedMLP


class Constant(torch.nn.Module):
    """The network of no inputs: its outputs are parameters.

    Args:
        num_out: Number of outputs.
    """

    def __init__(self, num_out: int) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(num_out))

    def reset_parameters(self) -> None:
        """Starts anew."""
        torch.nn.init.zeros_(self.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The outputs, repeated for inputs of shape [..., 0]."""
        return self.bias.expand(*inputs.shape[:-1], -1)


def make_network(
    num_in: int, num_out: int, hidden: Sequence[int], adjacency: torch.Tensor | None = None
) -> torch.nn.Module:
    """A multi-layer perceptron whose outputs are zero at the start.

    Args:
        num_in: Number of inputs; there may be none.
        num_out: Number of outputs.
        hidden: Widths of the hidden layers.
        adjacency: Whether an output may depend on an input, shape [num_out, num_in]; None where
            each may depend on all.
    """
    if not num_in or not (adjacency is None or adjacency.any()):
        return Constant(num_out)
    smooth = torch.nn.SiLU  # a density has a gradient, and it is followed
    if adjacency is None:
        network = MLP(num_in, num_out, hidden, activation=smooth)
    else:
        network = MaskedMLP(adjacency, hidden, activation=smooth)
        for layer in network:
            if hasattr(layer, "mask"):  # of the type of the weights: converted once for all
                layer.mask = layer.mask.to(layer.weight.dtype)
    reset_network(network)
    return network


def reset_network(network: torch.nn.Module) -> None:
    """Draws the parameters of a network anew, zeros in its last layer."""
    if isinstance(network, Constant):
        network.reset_parameters()
        return
    for layer in network:
        if any(True for _ in layer.parameters()):
            layer.reset_parameters()
    for parameter in network[-1].parameters():
        torch.nn.init.zeros_(parameter)
