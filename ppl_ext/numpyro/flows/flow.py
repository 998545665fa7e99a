"""What coupling and autoregressive flows share: layers on end, in one program."""

import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl_ext.flow_arguments import check_context, check_flow
from ppl_ext.numpyro.flows.distribution import FlowDistribution
from ppl_ext.numpyro.flows.elementwise import AbstractElementwise, Affine, Spline
from ppl_ext.numpyro.flows.networks import Weights, init_network
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key

__all__ = ["AbstractFlow"]

_Pair = tuple[jax.Array, jax.Array]


class AbstractFlow:
    """Layers from a standard normal vector to another one, the identity at the start.

    A flow has no state: flows of the same arguments are equal, and one program serves them all.
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
        kind = type(self).__name__
        check_flow(kind, dim, context_dim, transform, num_layers, hidden, num_bins, bound)
        self.dim = int(dim)
        self.context_dim = int(context_dim)
        self.transform = transform
        self.num_layers = int(num_layers)
        self.hidden = tuple(map(int, hidden))
        self.num_bins = int(num_bins)
        self.bound = float(bound)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).items()))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"

    def __call__(self, params: Any, context: jax.Array | None = None) -> FlowDistribution:
        """The distribution that the flow makes.

        Args:
            params: Parameters of the flow, as from ``init``.
            context: Shape ``[*batch, context_dim]``; None for a flow without a context.

        Returns:
            A distribution over vectors ``[dim]``, one for each context of the batch.

        Raises:
            ValueError: The context is missing, not wanted or of another width.
        """
        self._check_context(context)
        return FlowDistribution(self, params, context)

    def init(self, rng_key: jax.Array) -> Any:
        """Parameters at the start: the identity, with random hidden weights.

        Args:
            rng_key: Random key.

        Returns:
            A tree of arrays, the layers along their first axis.
        """
        line = "flow.init(jax.random.key(0))"
        check_rng_key(f"{type(self).__name__}.init", rng_key, line)
        return self._draw_weights(rng_key)

    def push(self, params: Any, e: jax.Array, context: jax.Array | None = None) -> _Pair:
        """Map noise to values.

        Args:
            params: Parameters of the flow.
            e: Shape ``[..., dim]``.
            context: Shape ``[..., context_dim]``.

        Returns:
            The image ``[..., dim]`` and the log absolute determinant of the map's Jacobian.
        """
        self._check_context(context)
        return self._go(params, e, context, back=False)

    def pull(self, params: Any, x: jax.Array, context: jax.Array | None = None) -> _Pair:
        """Map values back to noise.

        Args:
            params: Parameters of the flow.
            x: Shape ``[..., dim]``.
            context: Shape ``[..., context_dim]``.

        Returns:
            The noise ``[..., dim]`` and the log absolute determinant of this map's Jacobian.
        """
        self._check_context(context)
        return self._go(params, x, context, back=True)

    @property
    def elementwise(self) -> AbstractElementwise:
        """The map of a single coordinate."""
        return Affine() if self.transform == "affine" else Spline(self.num_bins, self.bound)

    @abstractmethod
    def _widths(self) -> tuple[int, int]:
        """Coordinates that the network of a layer reads, and that it moves."""

    @abstractmethod
    def _order(self, index: int) -> np.ndarray:
        """The order in which a layer takes the coordinates, the first next to the noise."""

    @abstractmethod
    def _push_layer(self, network: Weights, e: jax.Array, context: jax.Array | None) -> _Pair:
        """Image of a layer and its log determinant."""

    @abstractmethod
    def _pull_layer(self, network: Weights, x: jax.Array, context: jax.Array | None) -> _Pair:
        """Origin under a layer and the log determinant of the way back."""

    # Compiled as wholes, for flows of the same arguments once: of what is outside of a program JAX
    # compiles every operation, and a loop anew at every call.

    @functools.partial(jax.jit, static_argnums=0)
    def _draw_weights(self, rng_key: jax.Array) -> Any:
        inputs, moved = self._widths()
        outputs = moved * self.elementwise.num_parameters

        def one(rng_key):
            return init_network(rng_key, inputs, self.context_dim, self.hidden, outputs)

        return jax.vmap(one)(jax.random.split(rng_key, self.num_layers))

    @functools.partial(jax.jit, static_argnums=0, static_argnames="back")
    def _go(
        self, params: Any, values: jax.Array, context: jax.Array | None, *, back: bool
    ) -> _Pair:
        """Go through all layers in one loop of the program, from the noise or back to it."""
        move = self._pull_layer if back else self._push_layer
        shape = jnp.shape(values)[:-1]
        known = [*jax.tree.leaves(params), values]
        if context is not None:
            shape = jnp.broadcast_shapes(shape, jnp.shape(context)[:-1])
            known.append(context)
        dtype = jnp.result_type(float, *known)
        values = jnp.broadcast_to(jnp.asarray(values, dtype), (*shape, self.dim))
        orders = np.stack([self._order(index) for index in range(self.num_layers)])

        def step(carry, layer):
            (values, total), (network, order, restore) = carry, layer
            moved, log_slope = move(network, jnp.take(values, order, -1), context)
            return (jnp.take(moved, restore, -1), total + log_slope), None

        start = values, jnp.zeros(shape, dtype)
        layers = params, orders, orders.argsort(-1)
        return jax.lax.scan(step, start, layers, reverse=back)[0]

    def _check_context(self, context: jax.Array | None) -> None:
        shape = None if context is None else jnp.shape(context)
        kind = type(self).__name__
        check_context(kind, self.dim, self.context_dim, shape, "(params, context)")
