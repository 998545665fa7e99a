"""Stand-ins for values by which two programs can be told apart or known to be the same."""

import hashlib
import pickle
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

import jax
import numpy as np

from ppl_ext.closures.reading import is_users, what_it_holds, what_it_reads

__all__ = ["take_fingerprint"]


class _Same:
    """Equal only to the very same object, which is kept alive so that its id stays its own."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def take_fingerprint(value: Any, seen: dict[int, tuple[int, Any]] | None = None) -> Any:
    """A hashable stand-in for a value: equal where a traced model would come out equal.

    Numbers, arrays and frames count by their content, functions by their code and what it reads,
    classes and objects by who they are and what they hold.

    Args:
        value: Any value; a model, most of the time.
        seen: Objects met on the way here and their order, kept alive so that no id comes twice.
    """
    seen = {} if seen is None else seen
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None), np.generic)):
        return (type(value).__name__, repr(value))
    if isinstance(value, (jax.core.Tracer, Iterator)):
        # What an iterator gives changes with every look and is no part of a program.
        return _Same(value)
    if id(value) in seen:
        return ("seen", seen[id(value)][0])
    seen[id(value)] = (len(seen), value)
    if isinstance(value, (ModuleType, type)):
        held = what_it_holds(value) if isinstance(value, type) else {}
        return (_Same(value), take_fingerprint(held, seen))
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        return take_fingerprint(jax.random.key_data(value), seen)
    if isinstance(value, (np.ndarray, jax.Array)):
        if value.dtype == object:
            return ("array", value.shape, take_fingerprint(value.tolist(), seen))
        array = np.ascontiguousarray(value)
        digest = hashlib.blake2b(array.tobytes(), digest_size=16).digest()
        return ("array", array.shape, str(array.dtype), digest)
    if isinstance(value, Mapping):
        return tuple(
            (take_fingerprint(k, seen), take_fingerprint(v, seen)) for k, v in value.items()
        )
    if isinstance(value, (list, tuple, set, frozenset)):
        return (type(value).__name__, *(take_fingerprint(item, seen) for item in value))
    if isinstance(value, MethodType):
        return take_fingerprint((value.__func__, value.__self__), seen)
    if isinstance(value, FunctionType):
        if not is_users(value):
            return _Same(value)
        # Equal code that reads equal values: a model made anew by the same factory is the same.
        module = _Same(value.__globals__)
        return (value.__code__, module, take_fingerprint(what_it_reads(value), seen))
    if hasattr(value, "__array__") and not is_users(type(value)):
        # A frame keeps its columns where only its own pickling finds them.
        return (type(value).__name__, hashlib.blake2b(pickle.dumps(value)).digest())
    # An object whose method is the model, a handler around a model, a compiled function.
    held = (_state_of(value), _read_slots(value), type(value))
    return (_Same(value), take_fingerprint(held, seen))


def _state_of(value: Any) -> Any:
    """What an object holds; written in another language, it tells by what is pickled of it."""
    if hasattr(value, "__dict__"):
        return value.__dict__
    try:
        return value.__reduce_ex__(4)
    except TypeError:  # a lock, a generator: what it holds is no data
        return None


def _read_slots(value: Any) -> dict[str, Any]:
    """The values of an object that keeps them in slots."""
    names = [name for base in type(value).__mro__ for name in _slots_of(base)]
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _slots_of(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ()) if is_users(kind) else ()
    return (slots,) if isinstance(slots, str) else tuple(slots)
