"""What the estimators check of their parameters and of what they are called with."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from ppl_ext.estimators.arguments import refuse


def check_temperature(called: str, temperature: Any) -> None:
    """Refuse what is not one positive number; more of them would be taken for one a class."""
    known = isinstance(temperature, Real)
    if isinstance(temperature, jax.Array | np.ndarray) and temperature.ndim == 0:
        known, temperature = True, 1.0 if isinstance(temperature, Tracer) else temperature
    if not known or not temperature > 0:
        shape = getattr(temperature, "shape", ())
        raise refuse(
            called,
            f"temperature has the shape {shape}"
            if shape
            else f"temperature is {float(temperature) if known else repr(temperature)}",
            "one positive number",
            f"{called}(temperature=1.0), or to learn it temperature=jnp.exp(log_temperature).",
        )


def check_count(called: str, name: str, count: Any, least: int, cure: str) -> None:
    """Refuse what is no whole number, or below the least there can be."""
    if not isinstance(count, Integral) or count < least:
        raise refuse(called, f"{name} is {count!r}", f"a whole number, {least} at least", cure)


def check_function(called: str, f: Callable[..., Any]) -> None:
    """Refuse what cannot be called, such as logits in the place of the function."""
    if not callable(f):
        raise refuse(
            called,
            f"f is of type {type(f).__name__}",
            "a function of one-hot draws",
            "The function comes before the logits: f, logits.",
        )
