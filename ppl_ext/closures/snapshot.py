"""A value with copies of all that it reads and holds, so that later changes do not reach it."""

import copy
import dis
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ppl_ext.closures.reading import is_users, names_in, what_it_holds

__all__ = ["Snapshots"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)

Memo = dict[int, tuple[Any, Any]]  # originals, kept alive so that no id comes twice, and copies


@dataclass(frozen=True)
class Snapshots:
    """How values are copied, with what is a host's own.

    Args:
        kept: Types whose values are left as they are.
        arrays: Types of the host's arrays.
        handlers: Types of the host's objects that hold models.
        copy_own: ``(value, take) -> copy`` of a type of the host, ``take`` for what it holds;
            None for values of other types.

    Example:
        >>> scale = [np.ones(2)]
        >>> model = lambda: scale[0].sum()
        >>> kept = Snapshots().take(model)
        >>> scale[0] += 1
        >>> float(model()), float(kept())
        (4.0, 2.0)
    """

    kept: tuple[type, ...] = ()
    arrays: tuple[type, ...] = ()
    handlers: tuple[type, ...] = ()
    copy_own: Callable[[Any, Callable[[Any], Any]], Any] = lambda value, take: None

    def take(self, value: Any, memo: Memo | None = None) -> Any:
        """The value with copies of the arrays, frames and numbers that it reads or holds.

        Functions and classes of libraries, and containers without arrays, are left as they are.

        Args:
            value: Any value; a model, most of the time.
            memo: What has been copied on the way here.
        """
        memo = {} if memo is None else memo
        if isinstance(value, (*_PLAIN, *self.kept)):
            return value
        if id(value) in memo:
            return memo[id(value)][1]
        memo[id(value)] = (value, value)
        copied = self._copy(value, memo)
        memo[id(value)] = (value, copied)
        return copied

    def _copy(self, value: Any, memo: Memo) -> Any:
        own = self.copy_own(value, lambda held: self.take(held, memo))
        if own is not None:
            return own
        if isinstance(value, np.ndarray):
            return value.copy()
        if isinstance(value, FunctionType):
            return self._copy_function(value, memo) if is_users(value) else value
        if isinstance(value, type):
            return self._copy_class(value, memo)
        if isinstance(value, ModuleType):
            return value
        if isinstance(value, MethodType):
            return MethodType(self.take(value.__func__, memo), self.take(value.__self__, memo))
        if isinstance(value, functools.partial):
            args = [self.take(item, memo) for item in value.args]
            keywords = self._copy_items(value.keywords, memo)
            return functools.partial(self.take(value.func, memo), *args, **keywords)
        if type(value) in (list, tuple):
            items = [self.take(item, memo) for item in value]
            return type(value)(items) if _differ(items, value) else value
        if type(value) is dict:
            held = self._copy_items(value, memo)
            return held if _differ(held.values(), value.values()) else value
        if hasattr(value, "__array__"):
            return copy.deepcopy(value)
        users = is_users(type(value)) and hasattr(value, "__dict__")
        if users or isinstance(value, self.handlers):
            held = self._copy_items(vars(value), memo)
            if _differ(held.values(), vars(value).values()):
                value = copy.copy(value)
                vars(value).update(held)
        return value

    def _copy_items(self, items: Mapping[str, Any], memo: Memo) -> dict[str, Any]:
        return {name: self.take(item, memo) for name, item in items.items()}

    def _copy_class(self, kind: type, memo: Memo) -> Any:
        # A metaclass, such as that of an enumeration, answers for more than attributes.
        plain = type(kind) is type and is_users(kind)
        held = self._copy_items(what_it_holds(kind), memo) if plain else {}
        data: tuple[type, ...] = (*_PLAIN, np.ndarray, *self.arrays, list, tuple, dict)
        return _AsItWas(kind, held) if any(isinstance(v, data) for v in held.values()) else kind

    def _copy_function(self, function: FunctionType, memo: Memo) -> FunctionType:
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
                held = {k: self.take(vars(value)[k], memo) for k in names & vars(value).keys()}
                module[name] = _AsItWas(value, held)
            else:
                module[name] = self.take(value, memo)
        for cell, own in zip(closure, cells, strict=True):
            if own is cell:
                continue
            try:
                own.cell_contents = self.take(cell.cell_contents, memo)
            except ValueError:  # not filled yet
                continue
        copied.__defaults__ = self.take(function.__defaults__, memo)
        copied.__kwdefaults__ = self.take(function.__kwdefaults__, memo)
        copied.__qualname__, copied.__module__ = function.__qualname__, function.__module__
        copied.__dict__.update(function.__dict__)
        return copied


def _differ(copies: Iterable[Any], originals: Iterable[Any]) -> bool:
    return any(new is not old for new, old in zip(copies, originals, strict=True))


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

    def __init__(self, original: Callable[..., Any] | ModuleType, held: dict[str, Any]) -> None:
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
