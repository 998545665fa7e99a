"""A model that keeps what it read when it was bound: its report must not read what changed."""

import builtins
import copy
import functools
import sys
import sysconfig
from collections.abc import Callable, Mapping
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from pyro.poutine.messenger import Messenger, _bound_partial
from pyro.poutine.reparam_messenger import ReparamHandler

__all__ = ["take_snapshot"]

# What these hold does not change between two calls.
_LIBRARIES = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib"))
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)


def take_snapshot(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """The value with copies of the arrays, frames and numbers that it reads or holds.

    Functions and classes of libraries, containers without arrays, modules of torch and tensors
    that are learnt are left as they are.

    Args:
        value: Any value; a model, most of the time.
        memo: What has been copied on the way here, with the originals kept alive.
    """
    memo = {} if memo is None else memo
    if isinstance(value, (*_PLAIN, torch.nn.Module)):
        return value
    if id(value) in memo:
        return memo[id(value)][1]
    memo[id(value)] = (value, value)
    copied = _copy(value, memo)
    memo[id(value)] = (value, copied)
    return copied


def _copy(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, torch.Tensor):
        return value if value.requires_grad else value.clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, FunctionType):
        return _copy_function(value, memo) if _is_users(value) else value
    if isinstance(value, type):
        # A metaclass, such as that of an enumeration, answers for more than attributes.
        plain = type(value) is type and _is_users(value)
        held = _copy_items(_what_it_holds(value), memo) if plain else {}
        return _AsItWas(value, held) if any(_is_plain(v) for v in held.values()) else value
    if isinstance(value, ModuleType):
        return value
    if isinstance(value, MethodType):
        return MethodType(take_snapshot(value.__func__, memo), take_snapshot(value.__self__, memo))
    if isinstance(value, _bound_partial):  # what a handler around a function is
        bound = _bound_partial(take_snapshot(value.func, memo))
        return functools.update_wrapper(bound, value)
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
    if isinstance(value, (Messenger, ReparamHandler)) or (
        _is_users(type(value)) and hasattr(value, "__dict__")
    ):
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
    return isinstance(value, (*_PLAIN, np.ndarray, torch.Tensor, list, tuple, dict))


def _copy_function(function: FunctionType, memo: dict[int, Any]) -> FunctionType:
    """The same code in a module and a closure of its own."""
    names = _names_in(function.__code__)
    read = {name: function.__globals__[name] for name in names if name in function.__globals__}
    module = {**function.__globals__}
    cells = tuple(CellType() for _ in function.__closure__ or ())
    copied = FunctionType(function.__code__, module, function.__name__, None, cells)
    # Before it reads anything, for a function may read itself.
    memo[id(function)] = (function, copied)
    for name, value in read.items():
        if isinstance(value, ModuleType) and _is_users(value):
            held = {k: take_snapshot(vars(value)[k], memo) for k in names if k in vars(value)}
            module[name] = _AsItWas(value, held)
        else:
            module[name] = take_snapshot(value, memo)
    for name, cell, own in zip(
        function.__code__.co_freevars, function.__closure__ or (), cells, strict=True
    ):
        try:
            # super() asks for the class itself.
            itself = name == "__class__"
            own.cell_contents = (
                cell.cell_contents if itself else take_snapshot(cell.cell_contents, memo)
            )
        except ValueError:  # not filled yet
            continue
    copied.__defaults__ = take_snapshot(function.__defaults__, memo)
    copied.__kwdefaults__ = take_snapshot(function.__kwdefaults__, memo)
    copied.__qualname__, copied.__module__ = function.__qualname__, function.__module__
    copied.__dict__.update(function.__dict__)
    return copied


def _is_users(value: FunctionType | ModuleType | type) -> bool:
    """Whether a function, module or class is the user's own and not a library's."""
    if isinstance(value, FunctionType):
        return not value.__code__.co_filename.startswith(_LIBRARIES)
    module = sys.modules.get(value.__module__) if isinstance(value, type) else value
    if module is None or module is builtins:
        return module is None
    return not (getattr(module, "__file__", None) or "").startswith((*_LIBRARIES, "<frozen"))


def _what_it_holds(kind: type) -> dict[str, Any]:
    """The attributes of a class of the user's own, those of its bases among them."""
    held: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if _is_users(base):
            held.update({k: v for k, v in vars(base).items() if not k.startswith("__")})
    return held


def _names_in(code: CodeType) -> set[str]:
    """Names of globals and attributes in a function and in the functions written inside it."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*(_names_in(const) for const in inner))


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
