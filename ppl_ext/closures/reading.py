"""What a function, a class or a module of the user's own reads and holds."""

import builtins
import sys
import sysconfig
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["is_users", "names_in", "what_it_holds", "what_it_reads"]

# A library's functions do not change between two calls, so what they read is not followed; nor do
# those of this package, wherever it is installed.
_OWN = str(Path(__file__).parents[1])
_LIBRARIES = (*(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")), _OWN)


def is_users(value: FunctionType | ModuleType | type) -> bool:
    """Whether a function, module or class is the user's own and not a library's."""
    if isinstance(value, FunctionType):
        return not value.__code__.co_filename.startswith(_LIBRARIES)
    module = sys.modules.get(value.__module__) if isinstance(value, type) else value
    if module is None or module is builtins:
        return module is None
    return not (getattr(module, "__file__", None) or "").startswith((*_LIBRARIES, "<frozen"))


def what_it_holds(kind: type) -> dict[str, Any]:
    """The attributes of a class of the user's own, those of its bases among them."""
    held: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if is_users(base):
            held.update({k: v for k, v in vars(base).items() if not k.startswith("__")})
    return held


def what_it_reads(function: FunctionType) -> dict[str, Any]:
    """The values a function takes from its defaults, its closure and its modules."""
    read = {"": (function.__defaults__, function.__kwdefaults__)}
    names = sorted(names_in(function.__code__))
    for name in names:
        if name in function.__globals__:
            value = read[name] = function.__globals__[name]
            if isinstance(value, ModuleType) and is_users(value):
                read.update({f"{name}.{k}": vars(value)[k] for k in names if k in vars(value)})
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            read[name] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    return read


def names_in(code: CodeType) -> set[str]:
    """Names of globals and attributes in a function and in the functions written inside it."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*(names_in(const) for const in inner))
