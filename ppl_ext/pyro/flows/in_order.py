"""A masked network read for one coordinate after the other, each of its units computed once."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

__all__ = ["InOrder"]


class InOrder:
    """Outputs of a masked network that follow from the coordinates known so far.

    A unit is computed when the last coordinate that it reads is known, so that all outputs
    together cost one pass, where anew for each coordinate they would cost as many passes.

    Args:
        network: Masked layers and activations in turn; it reads the coordinates, then a context.
        order: The coordinates in the order in which they become known.
    """

    def __init__(self, network: torch.nn.Sequential, order: Sequence[int]) -> None:
        self._order = list(order)
        masks = [layer.mask for layer in network if hasattr(layer, "mask")]
        known = torch.zeros(masks[0].shape[1])
        known[self._order] = torch.arange(1.0, len(order) + 1)
        self._units, self._counts = [], []
        for mask in masks[:-1]:
            known = (mask.float() * known).amax(-1)
            self._units.append(known.argsort(stable=True))
            self._counts.append([int((known <= step).sum()) for step in range(len(order))])

    def walk(
        self,
        network: torch.nn.Sequential,
        shape: torch.Size,
        context: torch.Tensor | None,
        find: Callable[[int, torch.Tensor], torch.Tensor],
    ) -> None:
        """Give the outputs of every coordinate to what finds its value.

        Args:
            network: The network.
            shape: Shape of the values of a coordinate.
            context: ``[..., context_dim]``, broadcast to the shape.
            find: ``(coordinate, outputs[*shape, output]) -> input[*shape]`` of the network.
        """
        *hidden, last = [layer for layer in network if hasattr(layer, "mask")]
        activation, dim = network[1], len(self._order)
        weights, biases, columns = [], [], self._order
        for layer, units in zip(hidden, self._units, strict=True):
            rows = (layer.mask * layer.weight)[units]
            weights.append(rows[:, columns])
            biases.append(layer.bias[units])
            columns = units
            if len(weights) == 1 and context is not None:
                # What the context says is the same for all values that share it.
                biases[0] = functional.linear(context, rows[:, dim:], biases[0])
        heads = (last.mask * last.weight)[:, columns].unflatten(0, (dim, -1))
        shifts = last.bias.unflatten(0, (dim, -1))
        nothing = heads.new_zeros(*shape, 0)
        inputs, found = [nothing], [[nothing] for _ in hidden]
        for step, coordinate in enumerate(self._order):
            running = inputs
            for level, counts in enumerate(self._counts):
                few = slice(counts[step - 1] if step else 0, counts[step])
                if few.start < few.stop:
                    at = torch.cat(running, -1)
                    value = functional.linear(at, weights[level][few, : at.shape[-1]])
                    found[level].append(activation(value + biases[level][..., few]))
                running = found[level]
            at = torch.cat(running, -1)
            head = heads[coordinate][:, : at.shape[-1]]
            inputs.append(
                find(coordinate, functional.linear(at, head, shifts[coordinate]))[..., None]
            )
