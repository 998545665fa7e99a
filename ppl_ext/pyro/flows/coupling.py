"""Coupling flows: as fast from noise to values as back."""

from collections.abc import Callable, Sequence

import torch

from ppl_ext.flow_arguments import draw_order
from ppl_ext.pyro.flows.elementwise import AbstractElementwise
from ppl_ext.pyro.flows.flow import AbstractFlow, AbstractLayer, join
from ppl_ext.pyro.flows.networks import make_network

__all__ = ["CouplingFlow"]

_Pair = tuple[torch.Tensor, torch.Tensor]


class CouplingFlow(AbstractFlow):
    r"""A flow whose layers move one half of the coordinates by a network of the other half.

    .. math:: x_a = e_a, \qquad x_b = s(e_a, c) \cdot f(e_b; e_a, c) + m(e_a, c)

    Draws and densities cost one pass each. Two layers that follow each other move all
    coordinates, other halves at every second pair; :math:`f` is a rational-quadratic spline, or
    with ``transform="affine"`` the identity: cheaper by four times, to be used with more layers,
    and without a context of no use in one dimension. Not for heavy tails, which stay those of the
    normal distribution, stretched.

    Args:
        dim: Number of coordinates, at least 1.
        context_dim: Width of the context; 0 for none.
        transform: ``"spline"`` or ``"affine"``.
        num_layers: Number of layers.
        hidden: Widths of the hidden layers of every network.
        num_bins: Bins of a spline.
        bound: A spline bends between minus this and this, and is the identity outside.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = CouplingFlow(2, context_dim=3)
        >>> q = flow(torch.zeros(5, 3))
        >>> x = q.rsample((4,))
        >>> x.shape, q.log_prob(x).shape
        (torch.Size([4, 5, 2]), torch.Size([4, 5]))

    References:
        Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using real NVP, ICLR,
        arXiv:1605.08803.
        Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows, NeurIPS,
        arXiv:1906.04032.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int = 0,
        *,
        transform: str = "spline",
        num_layers: int = 6,
        hidden: Sequence[int] = (64, 64),
        num_bins: int = 8,
        bound: float = 5.0,
    ) -> None:
        super().__init__(dim, context_dim, transform, num_layers, hidden, num_bins, bound)

    def _make_layer(
        self, index: int, elementwise: AbstractElementwise, hidden: tuple[int, ...]
    ) -> AbstractLayer:
        return _Coupling(self.dim, self.context_dim, index, elementwise, hidden)


class _Coupling(AbstractLayer):
    def __init__(
        self,
        dim: int,
        context_dim: int,
        index: int,
        elementwise: AbstractElementwise,
        hidden: tuple[int, ...],
    ) -> None:
        super().__init__()
        order = torch.as_tensor(draw_order(dim, index // 2))
        half = (dim + 1) // 2 if dim > 1 else 0
        if index % 2 and dim > 1:
            order, half = order.roll(-half), dim - half
        self.sizes = (half, dim - half)
        self.elementwise = elementwise
        # What follows from the arguments is no part of a saved state.
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", order.argsort(), persistent=False)
        outputs = (dim - half) * elementwise.num_parameters
        self.network = make_network(half + context_dim, outputs, hidden)

    def push(self, e: torch.Tensor, context: torch.Tensor | None) -> _Pair:
        return self._move(self.elementwise.push, e, context)

    def pull(self, x: torch.Tensor, context: torch.Tensor | None) -> _Pair:
        return self._move(self.elementwise.pull, x, context)

    def _move(self, move: Callable, values: torch.Tensor, context: torch.Tensor | None) -> _Pair:
        held, moved = values.index_select(-1, self.order).split(self.sizes, -1)
        raw = self.network(join(held, context)).unflatten(-1, (self.sizes[1], -1))
        moved, log_slope = move(moved, raw)
        return torch.cat([held, moved], -1).index_select(-1, self.back), log_slope.sum(-1)
