"""A call of a model, split into what a compiled program is made for and what it is fed.

Arrays and floats change from data set to data set and are arguments of the compiled programs;
everything else (integers, strings, flags, what the model reads from its closure and its module)
shapes the program itself and is part of the key under which it is kept.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.autoguide import AutoGuide

from ppl_ext.numpyro.tracing.fingerprint import take_fingerprint

__all__ = ["NEEDS_VALUES", "GuideRef", "ModelCall", "read_call", "seed_from", "x64_scope"]

# What JAX raises where Python code asks for the value of an array that is an argument.
NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
)


@dataclass(frozen=True)
class ModelCall:
    """A model and the fixed half of its arguments; hashable, equal for equal programs.

    Args:
        model: The model, ``functools.partial`` taken off.
        treedef: Structure of ``(args, kwargs)``.
        fixed: One entry for each leaf: its fingerprint, or None where it is an array argument.
        avals: ``(shape, dtype)`` of the array arguments, in order.
        surroundings: Fingerprint of what the model reads from its closure and its module.
        x64: Whether the programs run in float64.
    """

    model: Callable[..., Any] = field(compare=False)
    treedef: Any
    fixed: tuple[Any, ...]
    avals: tuple[tuple[tuple[int, ...], str], ...]
    surroundings: Any
    x64: bool

    @property
    def dtype(self) -> np.dtype:
        """Floating-point type of the programs."""
        return np.dtype(np.float64 if self.x64 else np.float32)

    @property
    def shapes(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """The array arguments without their values."""
        return tuple(jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in self.avals)

    def arguments(self, arrays: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """``(args, kwargs)`` of the model with the array arguments put in."""
        rest = iter(arrays)
        leaves = [next(rest) if leaf is None else leaf.value for leaf in self.fixed]
        return jax.tree.unflatten(self.treedef, leaves)


@dataclass(frozen=True)
class _Leaf:
    """A fixed argument, compared by its fingerprint."""

    fingerprint: Any

    # The value stays out of the comparison: two equal arrays make the same program.
    value: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Leaf) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)


def x64_scope(x64: bool):
    """Context in which JAX runs in float64 (True) or float32 (False), whatever the flag says."""
    return jax.enable_x64(x64)


def seed_from(rng_key: jax.Array) -> np.random.SeedSequence:
    """NumPy's seed of a key: computed without compiling anything."""
    data = rng_key
    if jax.dtypes.issubdtype(rng_key.dtype, jax.dtypes.prng_key):
        data = jax.random.key_data(rng_key)
    return np.random.SeedSequence([int(word) for word in np.ravel(data)])


def read_call(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    fix: str = "",
) -> tuple[ModelCall, tuple[jax.Array, ...]]:
    """Split a call into its fixed half and its arrays.

    Args:
        model: NumPyro model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        fix: Kinds of arrays (NumPy's letters, ``"iub"`` for integers and flags) that are fixed
            too, for a model that needs their values while it is traced.

    Returns:
        The call and its array arguments, floats in the precision in force.
    """
    while isinstance(model, functools.partial):
        args, kwargs, model = model.args + tuple(args), {**model.keywords, **kwargs}, model.func
    x64 = bool(jax.config.jax_enable_x64)
    leaves, treedef = jax.tree.flatten((tuple(args), dict(kwargs)))
    fixed: list[_Leaf | None] = []
    arrays = []
    for leaf in leaves:
        if _is_array_argument(leaf) and jnp.result_type(leaf).kind not in fix:
            fixed.append(None)
            arrays.append(_as_argument(leaf, x64))
        else:
            fixed.append(_Leaf(take_fingerprint(leaf), leaf))
    avals = tuple((array.shape, array.dtype) for array in arrays)
    call = ModelCall(model, treedef, tuple(fixed), avals, take_fingerprint(model), x64)
    return call, tuple(arrays)


def _is_array_argument(leaf: Any) -> bool:
    if isinstance(leaf, np.ndarray):
        return leaf.dtype.kind in "biufc"
    return isinstance(leaf, (jax.Array, float, np.floating))


def _as_argument(leaf: Any, x64: bool) -> jax.Array:
    # A copy, for JAX 0.10 keeps the float32 buffer that it once made of a NumPy array and hands
    # it out where float64 is on.
    array = jnp.asarray(np.array(leaf) if isinstance(leaf, np.ndarray) else leaf)
    # In float64 a data set that was read in float32 would drag the whole program down with it.
    if x64 and array.dtype == jnp.float32:
        array = array.astype(jnp.float64)
    return array


@dataclass(frozen=True)
class GuideRef:
    """A guide as a key: equal for guides that make the same program of the same model.

    Args:
        guide: The guide.
        identity: What it is compared by.
    """

    guide: Callable[..., Any] = field(compare=False)
    identity: Any

    @classmethod
    def to(cls, guide: Callable[..., Any]) -> "GuideRef":
        """Refer to a guide, by its settings where it can tell them."""
        if hasattr(guide, "settings"):
            return cls(guide, take_fingerprint(guide.settings))
        # A guide of the host changes as it looks at the model, and stays who it is.
        known = (guide.model, id(guide)) if isinstance(guide, AutoGuide) else guide
        return cls(guide, take_fingerprint(known))
