"""The parameters of a model as one flat vector, and a model whose parameters are held at one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import biject_to, constraints
from numpyro.primitives import Messenger

from ppl_ext.density import Site
from ppl_ext.numpyro.tracing.find_sites import origin_of, put_unconstrained

__all__ = ["HoldParameters", "ParameterLayout", "trace_parameters"]

_Arrays = tuple[jax.Array, ...]


@dataclass(frozen=True, eq=False)
class ParameterLayout:
    """Where the parameters of a model lie in one flat unconstrained vector.

    A parameter may be a tree of arrays, as those of a network are.

    Args:
        sites: The parameters and their slices of the vector; the shape of a tree is that of all
            its leaves in a row.
        trees: ``{name: (structure, shapes of the leaves)}``, on unconstrained space.
        start: ``(arrays, rng_key) -> theta``, the values that the model gives them, compiled.
    """

    sites: tuple[Site, ...]
    trees: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]]
    start: Callable[..., jax.Array]

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self.sites[-1].stop

    def read(self, name: str, theta: jax.Array) -> Any:
        """The unconstrained value of a parameter."""
        site = next(site for site in self.sites if site.name == name)
        structure, shapes = self.trees[name]
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        parts = jnp.split(theta[site.start : site.stop], ends)
        leaves = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        return jax.tree.unflatten(structure, leaves)


class HoldParameters(Messenger):
    """Gives the parameters of a model their values and hides them from handlers around it.

    Args:
        layout: Where they lie.
        theta: Their values on unconstrained space, in a row.

    Attributes:
        values: The values that were given, on the spaces of the parameters.
    """

    def __init__(self, layout: ParameterLayout, theta: jax.Array) -> None:
        super().__init__()
        self.layout = layout
        self.theta = theta
        self.values: dict[str, Any] = {}

    def process_message(self, msg: dict[str, Any]) -> None:
        """Put the value of a parameter in its place."""
        if msg["type"] == "param" and msg["name"] in self.layout.trees:
            value = _bijection_of(msg)(self.layout.read(msg["name"], self.theta))
            msg["value"] = self.values[msg["name"]] = value
            msg["stop"] = True


def trace_parameters(
    run: Callable[[_Arrays], Any], shapes: Any, dtype: np.dtype
) -> ParameterLayout | None:
    """Trace a model once without running it, and lay its parameters out.

    Args:
        run: The model as a function of its array arguments.
        shapes: Their shapes.
        dtype: Type of the flat vector.

    Returns:
        The layout; None where there is no parameter, or a value that is none but changes from
        step to step, or one that is no real number.
    """
    found: dict[str, Any] = {}

    def look(arrays, rng_key):
        model = put_unconstrained(handlers.seed(run, rng_key), origin_of)
        with handlers.block():
            trace = handlers.trace(model).get_trace(arrays)
        parts = []
        for name, site in trace.items():
            if site["type"] == "mutable":
                found[name] = None
            elif site["type"] == "param":
                value = jax.tree.map(jnp.asarray, _bijection_of(site).inv(site["value"]))
                leaves, structure = jax.tree.flatten(value)
                found[name] = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
                parts += [jnp.ravel(leaf).astype(dtype) for leaf in leaves]
        return jnp.concatenate(parts or [jnp.zeros(0, dtype)])

    start = jax.jit(look)
    start.eval_shape(shapes, jax.random.key(0))
    sites: list[Site] = []
    trees = {}
    for name, each in found.items():
        if each is None or not all(jnp.issubdtype(dtype, jnp.floating) for _, dtype in each[1]):
            return None
        structure, leaves = each
        shapes_of = tuple(shape for shape, _ in leaves)
        size = sum(math.prod(shape) for shape in shapes_of)
        begin = sites[-1].stop if sites else 0
        whole = shapes_of[0] if len(shapes_of) == 1 else (size,)
        sites.append(Site(name, whole, begin, begin + size))
        trees[name] = structure, shapes_of
    return ParameterLayout(tuple(sites), trees, start) if sites else None


def _bijection_of(msg: dict[str, Any]) -> Any:
    """The bijection onto the space of a parameter; a tree of arrays has none but the identity."""
    return biject_to(msg["kwargs"].get("constraint", constraints.real))
