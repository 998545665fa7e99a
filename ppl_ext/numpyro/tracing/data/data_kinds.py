"""Data as people have them: turned into arrays, or refused with the line that turns them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.primitives import Messenger

from ppl_ext.byte_order import to_native

__all__ = ["DataError", "ReadsData", "array_from", "blame_arguments", "is_foreign"]

_NUMBERS = "biufc"


class DataError(ValueError):
    """Data that are no numbers: what is wrong with them, to be raised anew by the caller."""


class ReadsData(Messenger):
    """Gives sample statements arrays where they were given series, lists and the like."""

    def process_message(self, msg: dict[str, Any]) -> None:
        """Put an array in the place of observed data that are none."""
        value = msg["value"]
        if msg["type"] != "sample" or not msg["is_observed"] or isinstance(value, jax.Array):
            return
        problem = _what_is_wrong(value)
        if problem:
            raise DataError(f"observed site '{msg['name']}' was given {problem}")
        if isinstance(value, (list, tuple)) or is_foreign(value):
            msg["value"] = jnp.asarray(array_from(value) if is_foreign(value) else value)


def is_foreign(value: Any) -> bool:
    """Whether a value is an array of another library (a pandas series) or machine."""
    if isinstance(value, np.ndarray):
        return not value.dtype.isnative
    ours = isinstance(value, (np.generic, jax.Array, jax.core.Tracer, type))
    return not ours and hasattr(value, "__array__") and hasattr(value, "dtype")


def array_from(value: Any) -> np.ndarray:
    """The numbers of another library's array."""
    return to_native(np.asarray(value))


def blame_arguments(model: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any]) -> str:
    """Say which arguments of a model that raised are no numbers, empty if they all are.

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
        for leaf in jax.tree.leaves(value):
            if isinstance(leaf, (np.ndarray, str)) or hasattr(leaf, "__array__"):
                problem = "" if hasattr(leaf, "columns") else _what_is_wrong(leaf)
                if problem:
                    return f"the argument '{name}' is {problem}"
                if not isinstance(leaf, (np.ndarray, np.generic, jax.Array)):
                    return (
                        f"the argument '{name}' is a {type(leaf).__name__}, which cannot be "
                        "reckoned with what the model draws; expected arrays. Write "
                        f"jnp.asarray({name}), or jnp.asarray({name}['...']) for a column"
                    )
    return ""


def _what_is_wrong(value: Any) -> str:
    """Why a value cannot serve as numbers and how to make it serve, empty if it can."""
    kind = type(value).__name__
    if isinstance(value, np.ma.MaskedArray):
        return (
            "a masked array, whose mask the host ignores; expected numbers. Fill it and say what "
            "is missing: obs=y.filled(0.0), obs_mask=~numpy.ma.getmaskarray(y)"
        )
    if isinstance(value, (str, bytes, dict, set)):
        return f"a {kind}; expected numbers. Give an array: jnp.asarray([...])"
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_what_is_wrong, value)), "")
    if not hasattr(value, "__array__") or isinstance(value, (jax.Array, jax.core.Tracer)):
        return ""
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.dtype.kind in _NUMBERS:
        return ""
    cure = "np.asarray(y, dtype=float), or codes for names: pandas.factorize(y)[0]"
    if array.dtype.kind in "mM":
        cure = "(y - y.min()) / np.timedelta64(1, 'D'), days since the first"
    return f"a {kind} of dtype {array.dtype}; expected numbers. Convert it: {cure}"
