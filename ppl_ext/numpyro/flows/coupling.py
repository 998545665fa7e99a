"""Coupling flows: as fast from noise to values as back."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ppl_ext.flow_arguments import draw_order
from ppl_ext.numpyro.flows.flow import AbstractFlow
from ppl_ext.numpyro.flows.networks import Weights, apply_network

__all__ = ["CouplingFlow"]

_Pair = tuple[jax.Array, jax.Array]


class CouplingFlow(AbstractFlow):
    r"""A flow whose layers move one half of the coordinates by a network of the other half.

    .. math:: x_a = e_a, \qquad x_b = s(e_a, c) \cdot f(e_b; e_a, c) + m(e_a, c)

    Draws and densities cost one pass each. Two layers that follow each other move all
    coordinates, other halves at every second pair; :math:`f` is a rational-quadratic spline, or
    with ``transform="affine"`` the identity: cheaper, to be used with more layers, and without a
    context of no use in one dimension. Not for heavy tails, which stay those of the normal
    distribution, stretched.

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
        >>> import jax, jax.numpy as jnp
        >>> flow = CouplingFlow(2, context_dim=3)
        >>> q = flow(flow.init(jax.random.key(0)), jnp.zeros((5, 3)))
        >>> x = q.sample(jax.random.key(1), (4,))
        >>> x.shape, q.log_prob(x).shape
        ((4, 5, 2), (4, 5))

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

    def _widths(self) -> tuple[int, int]:
        return self.dim // 2, self.dim - self.dim // 2

    def _order(self, index: int) -> np.ndarray:
        order = draw_order(self.dim, index // 2)
        # What one layer holds the next moves.
        return np.roll(order, -(self.dim // 2)) if index % 2 else order

    def _push_layer(self, network: Weights, e: jax.Array, context: jax.Array | None) -> _Pair:
        return self._move(self.elementwise.push, network, e, context)

    def _pull_layer(self, network: Weights, x: jax.Array, context: jax.Array | None) -> _Pair:
        return self._move(self.elementwise.pull, network, x, context)

    def _move(
        self,
        move: Callable[..., _Pair],
        network: Weights,
        values: jax.Array,
        context: jax.Array | None,
    ) -> _Pair:
        held, moved = jnp.split(values, (self.dim // 2,), -1)
        raw = apply_network(network, held, context)
        moved, log_slope = move(moved, raw.reshape(*moved.shape, -1))
        return jnp.concatenate([held, moved], -1), log_slope.sum(-1)
