"""Stand-ins for values by which two programs can be told apart or known to be the same."""

import hashlib
import sysconfig
from collections.abc import Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import jax
import numpy as np

__all__ = ["take_fingerprint"]

# A library's functions do not change between two calls, so what they read is not followed.
_LIBRARIES = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib"))


class _Same:
    """Equal only to the very same object, which is kept alive so that its id stays its own."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def take_fingerprint(value: Any, seen: dict[int, int] | None = None) -> Any:
    """A hashable stand-in for a value: equal where a traced model would come out equal.

    Numbers and arrays count by their content, functions by their code and what it reads, objects
    by who they are and what they hold.

    Args:
        value: Any value; a model, most of the time.
        seen: Objects met on the way here, by their order.
    """
    seen = {} if seen is None else seen
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None), np.generic)):
        return (type(value).__name__, repr(value))
    if isinstance(value, (ModuleType, type, jax.core.Tracer)):
        return _Same(value)
    if id(value) in seen:
        return ("seen", seen[id(value)])
    seen[id(value)] = len(seen)
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        return take_fingerprint(jax.random.key_data(value), seen)
    if isinstance(value, (np.ndarray, jax.Array)) and value.dtype != object:
        array = np.ascontiguousarray(value)
        digest = hashlib.blake2b(array.tobytes(), digest_size=16).digest()
        return ("array", array.shape, str(array.dtype), digest)
    if isinstance(value, Mapping):
        return tuple(
            (take_fingerprint(k, seen), take_fingerprint(v, seen)) for k, v in value.items()
        )
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *(take_fingerprint(item, seen) for item in value))
    if isinstance(value, MethodType):
        return take_fingerprint((value.__func__, value.__self__), seen)
    if isinstance(value, FunctionType):
        if value.__code__.co_filename.startswith(_LIBRARIES):
            return _Same(value)
        # Equal code that reads equal values: a model made anew by the same factory is the same.
        module = _Same(value.__globals__)
        return (value.__code__, module, take_fingerprint(_what_it_reads(value), seen))
    # An object whose method is the model, a handler around a model, a compiled function.
    return (_Same(value), take_fingerprint(getattr(value, "__dict__", {}), seen))


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
