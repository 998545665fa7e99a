"""A model that keeps what it read when it was bound.

A fit traces programs long after it was made, and would read what has changed since. JAX makes it
worse: it remembers the buffer that it once made of a NumPy array, and hands the old one out when
the array was changed in place, or in float32 where float64 is on.
"""

import copy
import dis
import functools
from collections.abc import Callable, Mapping
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import jax
import numpy as np
from numpyro.primitives import Messenger

from ppl_ext.numpyro.tracing.fingerprint import is_users, names_in, what_it_holds

__all__ = ["take_snapshot"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)


def take_snapshot(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """The value with copies of the arrays, frames and numbers that it reads or holds.

    Functions and classes of libraries, and containers without arrays, are left as they are.

    Args:
        value: Any value; a model, most of the time.
        memo: What has been copied on the way here, with the originals kept alive.
    """
    memo = {} if memo is None else memo
    if isinstance(value, (*_PLAIN, jax.Array, jax.core.Tracer)):
        return value
    if id(value) in memo:
        return memo[id(value)][1]
    memo[id(value)] = (value, value)
    copied = _copy(value, memo)
    memo[id(value)] = (value, copied)
    return copied


def _copy(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, FunctionType):
        return _copy_function(value, memo) if is_users(value) else value
    if isinstance(value, type):
        # A metaclass, such as that of an enumeration, answers for more than attributes.
        plain = type(value) is type and is_users(value)
        held = _copy_items(what_it_holds(value), memo) if plain else {}
        return _AsItWas(value, held) if any(_is_plain(v) for v in held.values()) else value
    if isinstance(value, ModuleType):
        return value
    if isinstance(value, MethodType):
        return MethodType(take_snapshot(value.__func__, memo), take_snapshot(value.__self__, memo))
    if isinstance(value, functools.partial):
        args = [take_snapshot(item, memo) for item in value.args]
        keywords = _copy_items(value.keywords, memo)
        return functools.partial(take_snapshot(value.func, memo), *args, **keywords)
    if type(value) in (list, tuple):
        items = [take_snapshot(item, memo) for item in value]
        return type(value)(items) if _differ(items, value) else value
    if type(value) is dict:
        held = _copy_items(value, memo)
        return held if _differ(held.values(), value.values()) else value
    if hasattr(value, "__array__"):
        return copy.deepcopy(value)
    if isinstance(value, Messenger) or (is_users(type(value)) and hasattr(value, "__dict__")):
        held = _copy_items(vars(value), memo)
        if _differ(held.values(), vars(value).values()):
            value = copy.copy(value)
            vars(value).update(held)
    return value


def _copy_items(items: Mapping[str, Any], memo: dict[int, Any]) -> dict[str, Any]:
    return {name: take_snapshot(item, memo) for name, item in items.items()}


def _differ(copies: Any, originals: Any) -> bool:
    return any(new is not old for new, old in zip(copies, originals, strict=True))


def _is_plain(value: Any) -> bool:
    return isinstance(value, (*_PLAIN, np.ndarray, jax.Array, list, tuple, dict))


def _copy_function(function: FunctionType, memo: dict[int, Any]) -> FunctionType:
    """The same code in a module and a closure of its own, but for what it writes itself."""
    code, closure = function.__code__, function.__closure__ or ()
    names, written = names_in(code), _names_written(code)
    own_module = written.isdisjoint(function.__globals__)
    module = {**function.__globals__} if own_module else function.__globals__
    # super() asks for the class itself.
    shared = {*written, "__class__"}
    cells = tuple(
        cell if name in shared else CellType()
        for name, cell in zip(code.co_freevars, closure, strict=True)
    )
    copied = FunctionType(code, module, function.__name__, None, cells)
    # Before it reads anything, for a function may read itself.
    memo[id(function)] = (function, copied)
    for name in names & function.__globals__.keys() if own_module else ():
        value = function.__globals__[name]
        if isinstance(value, ModuleType) and is_users(value):
            held = {k: take_snapshot(vars(value)[k], memo) for k in names & vars(value).keys()}
            module[name] = _AsItWas(value, held)
        else:
            module[name] = take_snapshot(value, memo)
    for cell, own in zip(closure, cells, strict=True):
        if own is cell:
            continue
        try:
            own.cell_contents = take_snapshot(cell.cell_contents, memo)
        except ValueError:  # not filled yet
            continue
    copied.__defaults__ = take_snapshot(function.__defaults__, memo)
    copied.__kwdefaults__ = take_snapshot(function.__kwdefaults__, memo)
    copied.__qualname__, copied.__module__ = function.__qualname__, function.__module__
    copied.__dict__.update(function.__dict__)
    return copied


def _names_written(code: CodeType) -> set[str]:
    """Names outside of a function that it, or one written inside it, assigns to."""
    outside = {*code.co_freevars, *code.co_names}
    written = {
        step.argval
        for step in dis.get_instructions(code)
        if step.opname in ("STORE_DEREF", "STORE_GLOBAL") and step.argval in outside
    }
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return written.union(*(_names_written(const) for const in inner))


class _AsItWas:
    """Stands for a class or module and answers with the attributes that it had."""

    def __init__(self, original: Callable | ModuleType, held: dict[str, Any]) -> None:
        vars(self).update(_original=original, _held=held)

    def __getattr__(self, name: str) -> Any:
        return self._held[name] if name in self._held else getattr(self._original, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._original, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._original(*args, **kwargs)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._original)

    def __subclasscheck__(self, kind: type) -> bool:
        return issubclass(kind, self._original)
