"""Data as people have them: turned into tensors, or refused with the line that turns them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ppl_ext.byte_order import to_native

__all__ = ["DataError", "blame_arguments", "read_observed", "to_tensors"]

_NUMBERS = "biuf"


class DataError(ValueError):
    """Data that are no numbers: what is wrong with them, to be raised anew by the caller."""


def to_tensors(value: Any) -> Any:
    """Arguments with tensors where they held NumPy arrays, series and the like.

    Floats come in torch's default precision. What holds no numbers is left as it is, and so is a
    frame, of which a model takes columns.

    Args:
        value: Arguments in tuples, lists and dictionaries.
    """
    if type(value) in (list, tuple):
        return type(value)(to_tensors(item) for item in value)
    if type(value) is dict:
        return {key: to_tensors(item) for key, item in value.items()}
    foreign = hasattr(value, "__array__") and hasattr(value, "dtype")
    if not foreign or isinstance(value, (torch.Tensor, type)) or _what_is_wrong(value):
        return value
    return _to_tensor(value)


def read_observed(name: str, value: Any) -> torch.Tensor:
    """A tensor of what an observed site was given.

    Args:
        name: The site.
        value: A tensor, a number, a list, or anything that NumPy takes for an array of numbers.

    Raises:
        DataError: It holds no numbers.
    """
    if isinstance(value, torch.Tensor):
        return value
    problem = _what_is_wrong(value)
    if problem:
        raise DataError(f"observed site {name!r} was given {problem}")
    return _to_tensor(value)


def blame_arguments(model: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any]) -> str:
    """Say which arguments of a model that raised are no tensors, empty if they all are.

    Args:
        model: The model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
    """
    try:
        given = inspect.signature(model).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):  # a callable that does not tell
        given = {str(position): value for position, value in enumerate(args)} | dict(kwargs)
    for name, value in given.items():
        for leaf in _leaves(value):
            if isinstance(leaf, torch.Tensor) or not hasattr(leaf, "__array__"):
                continue
            problem = "" if hasattr(leaf, "columns") else _what_is_wrong(leaf)
            if problem:
                return f"the argument {name!r} is {problem}"
            column = f", or torch.tensor({name}['...'].to_numpy()) for a column"
            return (
                f"the argument {name!r} is a {type(leaf).__name__}, which cannot be reckoned with "
                f"what the model draws; expected tensors. Write torch.tensor(numpy.array({name}))"
                f"{column if hasattr(leaf, 'columns') else ''}"
            )
    return ""


def _to_tensor(value: Any) -> torch.Tensor:
    # A copy: a series may lend its numbers only to read.
    tensor = torch.as_tensor(to_native(np.array(value)))
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _leaves(item)]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    return [value]


def _what_is_wrong(value: Any) -> str:
    """Why a value cannot serve as numbers and how to make it serve, empty if it can."""
    kind = type(value).__name__
    if isinstance(value, np.ma.MaskedArray):
        return (
            "a masked array, whose mask the host ignores; expected numbers. Fill it and say what "
            "is missing: obs=torch.tensor(y.filled(0.0)), "
            "obs_mask=torch.tensor(~numpy.ma.getmaskarray(y))"
        )
    if isinstance(value, (str, bytes, dict, set)):
        return f"a {kind}; expected numbers. Give a tensor: torch.tensor([...])"
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_what_is_wrong, value)), "")
    array = value.numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.dtype.kind in _NUMBERS:
        return ""
    cure = "np.asarray(y, dtype=float), or codes for names: pandas.factorize(y)[0]"
    if array.dtype.kind in "mM":
        cure = "(y - y.min()) / np.timedelta64(1, 'D'), days since the first"
    return f"a {kind} of dtype {array.dtype}; expected numbers. Convert it: {cure}"
