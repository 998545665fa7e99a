"""A call of a model, split into what a compiled program is made for and what it is fed.

Arrays and floats change from data set to data set and are arguments of the compiled programs;
everything else (integers, strings, flags, what the model reads from its closure and its module)
shapes the program itself and is part of the key under which it is kept.
"""

import functools
import hashlib
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["NEEDS_VALUES", "ModelCall", "read_call", "x64_scope"]

# What JAX raises where Python code asks for the value of an array that is an argument.
NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
)

# A library's functions do not change between two calls, so what they read is not followed.
_LIBRARIES = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib"))


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


class _Same:
    """Equal only to the very same object, which is kept alive so that its id stays its own."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def x64_scope(x64: bool):
    """Context in which JAX runs in float64 (True) or float32 (False), whatever the flag says."""
    return jax.enable_x64(x64)


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
            fixed.append(_Leaf(_fingerprint(leaf), leaf))
    avals = tuple((array.shape, array.dtype) for array in arrays)
    call = ModelCall(model, treedef, tuple(fixed), avals, _fingerprint(model), x64)
    return call, tuple(arrays)


def _is_array_argument(leaf: Any) -> bool:
    if isinstance(leaf, np.ndarray):
        return leaf.dtype.kind in "biufc"
    return isinstance(leaf, (jax.Array, float, np.floating))


def _as_argument(leaf: Any, x64: bool) -> jax.Array:
    array = jnp.asarray(leaf)
    # In float64 a data set that was read in float32 would drag the whole program down with it.
    if x64 and array.dtype == jnp.float32:
        array = array.astype(jnp.float64)
    return array


def _fingerprint(value: Any, seen: tuple[int, ...] = ()) -> Any:
    """A hashable stand-in for a value: equal where a traced model would come out equal."""
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None), np.generic)):
        return (type(value).__name__, repr(value))
    if isinstance(value, (ModuleType, type)) or id(value) in seen:
        return _Same(value)
    seen = (*seen, id(value))
    if isinstance(value, jax.core.Tracer):
        return _Same(value)
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return _fingerprint(jax.random.key_data(value))
    if isinstance(value, (np.ndarray, jax.Array)) and value.dtype != object:
        array = np.ascontiguousarray(value)
        digest = hashlib.blake2b(array.tobytes(), digest_size=16).digest()
        return ("array", array.shape, str(array.dtype), digest)
    if isinstance(value, Mapping):
        return tuple((_fingerprint(k, seen), _fingerprint(v, seen)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *(_fingerprint(item, seen) for item in value))
    if isinstance(value, FunctionType) and not value.__code__.co_filename.startswith(_LIBRARIES):
        # Equal code that reads equal values: a model made anew by the same factory is the same.
        return (value.__code__, _fingerprint(_what_it_reads(value), seen))
    # A handler around a model (block, reparam, ...), or an object whose method is the model.
    inner = [getattr(value, name, None) for name in ("fn", "__func__", "__wrapped__")]
    return (_Same(value), *(_fingerprint(f, seen) for f in inner if isinstance(f, FunctionType)))


def _what_it_reads(function: FunctionType) -> dict[str, Any]:
    """The values a function takes from its defaults, its closure and its module."""
    read = {"": (function.__defaults__, function.__kwdefaults__)}
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:
            read[name] = function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            read[name] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    return read


def _names(code: CodeType) -> set[str]:
    """Global names of a function and of the functions written inside it."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*(_names(const) for const in inner))
