"""What coupling and autoregressive flows share."""

from abc import abstractmethod
from collections.abc import Sequence

import torch

from ppl_ext.flow_arguments import check_context, check_flow
from ppl_ext.pyro.flows.distribution import FlowDistribution
from ppl_ext.pyro.flows.elementwise import AbstractElementwise, Affine, Spline
from ppl_ext.pyro.flows.networks import reset_network

__all__ = ["AbstractFlow", "AbstractLayer", "bend", "join"]

_LINEAR = 5.0  # inputs of a network are as they are within, and logarithms far beyond

_Pair = tuple[torch.Tensor, torch.Tensor]


class AbstractLayer(torch.nn.Module):
    """An invertible map of vectors, by a network."""

    network: torch.nn.Module

    @abstractmethod
    def push(self, e: torch.Tensor, context: torch.Tensor | None) -> _Pair:
        """Image of ``e[..., dim]``, and log |det| of the map, shape [...]."""

    @abstractmethod
    def pull(self, x: torch.Tensor, context: torch.Tensor | None) -> _Pair:
        """Origin of ``x[..., dim]``, and log |det| of ``push`` there."""


class AbstractFlow(torch.nn.Module):
    """Layers from a standard normal vector to another one, the identity at the start.

    Attributes:
        settings: What the flow was made with, in words and numbers that a file can hold.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        transform: str,
        num_layers: int,
        hidden: Sequence[int],
        num_bins: int,
        bound: float,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        check_flow(kind, dim, context_dim, transform, num_layers, hidden, num_bins, bound)
        self.dim = int(dim)
        self.context_dim = int(context_dim)
        elementwise = Affine() if transform == "affine" else Spline(num_bins, bound)
        self.settings = {
            "kind": kind,
            "dim": self.dim,
            "context_dim": self.context_dim,
            "transform": transform,
            "num_layers": int(num_layers),
            "hidden": [int(width) for width in hidden],
            "num_bins": int(num_bins),
            "bound": float(bound),
        }
        self.layers = torch.nn.ModuleList(
            self._make_layer(index, elementwise, tuple(hidden)) for index in range(num_layers)
        )

    @abstractmethod
    def _make_layer(
        self, index: int, elementwise: AbstractElementwise, hidden: tuple[int, ...]
    ) -> AbstractLayer:
        """The layer of that number, the first next to the standard normal."""

    def forward(self, context: torch.Tensor | None = None) -> FlowDistribution:
        """The distribution that the flow makes.

        Args:
            context: Shape ``[*batch, context_dim]``; None for a flow without a context.

        Returns:
            A distribution over vectors ``[dim]``, one for each context of the batch.

        Raises:
            ValueError: The context is missing, not wanted or of another width.
        """
        self._check_context(context)
        return FlowDistribution(self, context)

    def push(self, e: torch.Tensor, context: torch.Tensor | None = None) -> _Pair:
        """Map noise to values.

        Args:
            e: Shape ``[..., dim]``.
            context: Shape ``[..., context_dim]``.

        Returns:
            The image ``[..., dim]`` and the log absolute determinant of the map's Jacobian.
        """
        return self._go(self.layers, "push", e, context)

    def pull(self, x: torch.Tensor, context: torch.Tensor | None = None) -> _Pair:
        """Map values back to noise.

        Args:
            x: Shape ``[..., dim]``.
            context: Shape ``[..., context_dim]``.

        Returns:
            The noise ``[..., dim]`` and the log absolute determinant of ``push`` there.
        """
        return self._go(reversed(self.layers), "pull", x, context)

    def reset_parameters(self) -> None:
        """Start anew: at the identity, with other hidden weights."""
        for layer in self.layers:
            reset_network(layer.network)

    @staticmethod
    def _go(
        layers: Sequence[AbstractLayer],
        way: str,
        values: torch.Tensor,
        context: torch.Tensor | None,
    ) -> _Pair:
        if context is not None:
            shape = torch.broadcast_shapes(values.shape[:-1], context.shape[:-1])
            values = values.expand(*shape, -1)
        total = values.new_zeros(())
        for layer in layers:
            values, log_slope = getattr(layer, way)(values, context)
            total = total + log_slope
        return values, total

    def _check_context(self, context: torch.Tensor | None) -> None:
        shape = None if context is None else tuple(context.shape)
        check_context(type(self).__name__, self.dim, self.context_dim, shape, "(context)")


def bend(values: torch.Tensor) -> torch.Tensor:
    """Values as networks read them: outliers are pulled in."""
    return _LINEAR * torch.asinh(values / _LINEAR)


def join(values: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
    """Inputs of a network: values, with their outliers pulled in, and the context."""
    values = bend(values)
    if context is None:
        return values
    return torch.cat([values, context.expand(*values.shape[:-1], -1)], -1)
