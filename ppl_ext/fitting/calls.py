"""What is wrong with a call of `fit`, found out before the model is run.

Every check takes the ``line`` with which a call of the room begins, ``"fit(model"`` or
``"fit(rng_key, model"``, for the line that mends it.
"""

import functools
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from numbers import Integral, Real
from typing import Any

__all__ = [
    "check_count",
    "check_guide",
    "check_init_scale",
    "check_model",
    "check_positive",
    "refuse_guide_by_position",
]

_Signature = Callable[[Callable[..., Any]], inspect.Signature]


def check_count(caller: str, name: str, value: Any, line: str) -> None:
    """Refuse what is no positive whole number.

    Args:
        caller: What was called.
        name: The argument.
        value: Its value.
        line: The line that mends it.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(
            f"{caller}: {name} = {value!r}; expected a positive whole number, such as {line}."
        )


def check_positive(caller: str, name: str, value: Any, line: str) -> None:
    """Refuse what is no positive, finite number.

    Args:
        caller: What was called.
        name: The argument.
        value: Its value.
        line: The line that mends it.

    Raises:
        ValueError: It is something else.
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and 0 < value < math.inf):
        raise ValueError(
            f"{caller}: {name} = {value!r}; expected a positive number. Write {line}."
        )


def check_init_scale(kind: str, init_scale: Any) -> None:
    """Refuse what a guide cannot take for a standard deviation.

    Args:
        kind: Name of the guide's class.
        init_scale: Standard deviation that it starts from.

    Raises:
        ValueError: It is not positive.

    Example:
        >>> check_init_scale("AutoMeanField", 0.1)
    """
    if not init_scale > 0:
        raise ValueError(
            f"{kind}: init_scale = {init_scale}; expected a positive number. Write "
            f"{kind}(model, init_scale=0.1)."
        )


def check_model(
    model: Any,
    args: tuple[Any, ...],
    *,
    host: str,
    line: str,
    reserved: Collection[str],
    signature_of: _Signature = inspect.signature,
) -> None:
    """Refuse what is no model, and a model whose arguments `fit` would take for its own.

    An argument of such a name is fine where it is bound beforehand or given by position.

    Args:
        model: The model.
        args: Its positional arguments.
        host: Name of the host's module.
        line: Beginning of a right call.
        reserved: Names of `fit`'s own arguments.
        signature_of: Reads the signature of a model that is no ``functools.partial``.

    Raises:
        ValueError: The model is no function, or has such an argument.
    """
    if not callable(model):
        raise ValueError(
            f"fit: model is a {type(model).__name__}; expected a function with {host}.sample "
            f"statements. The order is {line}, *args)."
        )
    bound: set[str] = set()
    given = len(args)
    while isinstance(model, functools.partial):
        bound |= set(model.keywords)
        given += len(model.args)
        model = model.func
    for name in _parameters(model, signature_of)[given:]:
        if name in reserved and name not in bound:
            partial = line.replace("model", f"functools.partial(model, {name}=...)")
            raise ValueError(
                f"fit: the model has an argument '{name}', which fit uses itself; expected "
                f"another name, or a value by position. Bind it: {partial}, ...)."
            )


def check_guide(guide: Any, line: str) -> None:
    """Refuse what is neither a guide nor a class of guides nor None.

    Args:
        guide: The guide.
        line: Beginning of a right call.

    Raises:
        ValueError: It is something else.
    """
    if not (guide is None or callable(guide)):
        raise ValueError(
            f"fit: guide is a {type(guide).__name__}; expected a guide, a class of guides that "
            f"is called with the model, or None. Leave it out: {line}, *args)."
        )


def refuse_guide_by_position(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    guides: tuple[type, ...],
    line: str,
    signature_of: _Signature = inspect.signature,
) -> None:
    """Refuse a guide, a class of guides or None where the model's arguments belong.

    A class, a function or None is taken for one only where the model cannot take it.

    Args:
        model: The model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        guides: The base classes of guides.
        line: Beginning of a right call.
        signature_of: Reads the signature of a model that is no ``functools.partial``.

    Raises:
        ValueError: One of the arguments is a guide.
    """
    found = [value for value in args if isinstance(value, guides)]
    if not found and args and (args[0] is None or callable(args[0])):
        found = [] if _takes(model, args, kwargs, signature_of) else [args[0]]
    if not found:
        return
    guide: Any = found[0]
    if guide is None:
        name, keyword = "None", ""
    elif isinstance(guide, type):
        name, keyword = guide.__name__, f", guide={guide.__name__}"
    else:
        name, keyword = f"the guide {type(guide).__name__}", ", guide=guide"
    raise ValueError(
        f"fit: {name} stands where the model's arguments belong; expected the guide by keyword. "
        f"Write {line}, *args{keyword})."
    )


def _parameters(model: Callable[..., Any], signature_of: _Signature) -> list[str]:
    try:
        return list(signature_of(model).parameters)
    except (TypeError, ValueError):  # a callable that does not tell
        return []


def _takes(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    signature_of: _Signature,
) -> bool:
    while isinstance(model, functools.partial):
        args, kwargs, model = (*model.args, *args), {**model.keywords, **kwargs}, model.func
    try:
        signature = signature_of(model)
    except (TypeError, ValueError):  # a callable that does not tell
        return True
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True
