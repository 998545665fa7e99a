"""Autoregressive flows: the most flexible, with fast densities and slow draws."""

from collections.abc import Sequence

import torch

from ppl_ext.flow_arguments import draw_order
from ppl_ext.pyro.flows.elementwise import AbstractElementwise
from ppl_ext.pyro.flows.flow import AbstractFlow, AbstractLayer, bend, join
from ppl_ext.pyro.flows.in_order import InOrder
from ppl_ext.pyro.flows.networks import Constant, make_network

__all__ = ["AutoregressiveFlow"]

_Pair = tuple[torch.Tensor, torch.Tensor]


class AutoregressiveFlow(AbstractFlow):
    r"""A flow whose layers move every coordinate by a network of those before it.

    .. math:: x_i = s(x_{<i}, c) \cdot f(e_i; x_{<i}, c) + m(x_{<i}, c)

    Densities cost one pass, draws a short one for each coordinate: for what is trained by its
    density, such as a posterior given simulated data. Not for guides in more than a few
    dimensions, which draw at every step: take `CouplingFlow` there. Every second layer turns the
    order around; :math:`f` is a rational-quadratic spline, or with ``transform="affine"`` the
    identity.

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
        >>> flow = AutoregressiveFlow(3)
        >>> x, log_q = flow().rsample_and_log_prob((4,))
        >>> torch.allclose(flow().log_prob(x), log_q, atol=1e-5)
        True

    References:
        Papamakarios, Pavlakou, Murray (2017), Masked autoregressive flow for density estimation,
        NeurIPS, arXiv:1705.07057.
        Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows, NeurIPS,
        arXiv:1906.04032.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int = 0,
        *,
        transform: str = "spline",
        num_layers: int = 4,
        hidden: Sequence[int] = (64, 64),
        num_bins: int = 8,
        bound: float = 5.0,
    ) -> None:
        super().__init__(dim, context_dim, transform, num_layers, hidden, num_bins, bound)

    def _make_layer(
        self, index: int, elementwise: AbstractElementwise, hidden: tuple[int, ...]
    ) -> AbstractLayer:
        return _Autoregression(self.dim, self.context_dim, index, elementwise, hidden)


class _Autoregression(AbstractLayer):
    def __init__(
        self,
        dim: int,
        context_dim: int,
        index: int,
        elementwise: AbstractElementwise,
        hidden: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.dim = dim
        self.elementwise = elementwise
        place = torch.as_tensor(draw_order(dim, index // 2)).argsort()
        if index % 2:
            place = dim - 1 - place
        order = place.argsort().tolist()
        before = place[:, None] > place
        adjacency = torch.cat([before, before.new_ones(dim, context_dim)], 1)
        adjacency = adjacency.repeat_interleave(elementwise.num_parameters, 0)
        self.network = make_network(dim + context_dim, len(adjacency), hidden, adjacency)
        layered = hidden and not isinstance(self.network, Constant)
        self.in_order = InOrder(self.network, order) if layered else None

    def push(self, e: torch.Tensor, context: torch.Tensor | None) -> _Pair:
        if self.in_order is None:
            x = torch.zeros_like(e)
            # With every pass one coordinate more is right, and with it what the next reads.
            for _ in range(self.dim):
                x, log_slope = self.elementwise.push(e, self._read(x, context))
            return x, log_slope.sum(-1)
        x, log_slopes = {}, []

        def find(coordinate: int, raw: torch.Tensor) -> torch.Tensor:
            x[coordinate], log_slope = self.elementwise.push(e[..., coordinate], raw)
            log_slopes.append(log_slope)
            return bend(x[coordinate])

        self.in_order.walk(self.network, e.shape[:-1], context, find)
        return torch.stack([x[coordinate] for coordinate in range(self.dim)], -1), sum(log_slopes)

    def pull(self, x: torch.Tensor, context: torch.Tensor | None) -> _Pair:
        e, log_slope = self.elementwise.pull(x, self._read(x, context))
        return e, log_slope.sum(-1)

    def _read(self, x: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
        return self.network(join(x, context)).unflatten(-1, (self.dim, -1))
