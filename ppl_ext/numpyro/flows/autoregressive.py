"""Autoregressive flows: the most flexible, with fast densities and slow draws."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ppl_ext.flow_arguments import draw_order
from ppl_ext.numpyro.flows.columns import begin_columns, run_columns, split_columns
from ppl_ext.numpyro.flows.flow import AbstractFlow
from ppl_ext.numpyro.flows.networks import Weights, apply_network, order_masks

__all__ = ["AutoregressiveFlow"]

_Pair = tuple[jax.Array, jax.Array]


class AutoregressiveFlow(AbstractFlow):
    r"""A flow whose layers move every coordinate by a network of those before it.

    .. math:: x_i = s(x_{<i}, c) \cdot f(e_i; x_{<i}, c) + m(x_{<i}, c)

    Densities cost one pass, draws about as much but in a step for each coordinate: for what is
    trained by its density, such as a posterior given simulated data. Not for guides in more than
    a few dimensions, which draw at every step: take `CouplingFlow` there. Every second layer turns
    the order around; :math:`f` is a rational-quadratic spline, or with ``transform="affine"`` the
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
        >>> import jax, jax.numpy as jnp
        >>> flow = AutoregressiveFlow(3)
        >>> q = flow(flow.init(jax.random.key(0)))
        >>> x, log_q = q.sample_with_log_prob(jax.random.key(1), (4,))
        >>> bool(jnp.allclose(q.log_prob(x), log_q, atol=1e-5))
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

    def _widths(self) -> tuple[int, int]:
        return self.dim, self.dim

    def _order(self, index: int) -> np.ndarray:
        order = draw_order(self.dim, index // 2)
        return order[::-1] if index % 2 else order

    def _push_layer(self, network: Weights, e: jax.Array, context: jax.Array | None) -> _Pair:
        # With every step one coordinate more is known, and the next is moved by what it reads.
        def move(carry, step):
            (x, known), (index, columns) = carry, step
            raw, known = run_columns(columns, self.hidden, x, known, index)
            moved, log_slope = self.elementwise.push(jnp.take(e, index, -1), raw)
            return (x.at[..., index].set(moved), known), log_slope

        begin = jnp.zeros_like(e), begin_columns(self.hidden, e)
        steps = jnp.arange(self.dim), split_columns(network, context, self.dim)
        (x, _), log_slopes = jax.lax.scan(move, begin, steps)
        return x, log_slopes.sum(0)

    def _pull_layer(self, network: Weights, x: jax.Array, context: jax.Array | None) -> _Pair:
        e, log_slope = self.elementwise.pull(x, self._read(network, x, context))
        return e, log_slope.sum(-1)

    def _read(self, network: Weights, x: jax.Array, context: jax.Array | None) -> jax.Array:
        masks = order_masks(self.dim, self.hidden, self.elementwise.num_parameters)
        return apply_network(network, x, context, masks).reshape(*x.shape, -1)
