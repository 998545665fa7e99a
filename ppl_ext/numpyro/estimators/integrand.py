"""What an estimator is called with: a function and its logits, read and checked."""

from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ppl_ext.estimators.arguments import check_function, refuse
from ppl_ext.numpyro.gumbel.logits import check_classes, read_logits, widen


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


def read_integrand(called, f, logits):
    """Return the function and its logits with an axis of variables, the shapes minded."""
    check_function(called, f)
    logits = read_logits(called, None, logits, False)
    check_classes(called, logits, False)
    single = logits.ndim == 1

    def minded(z):
        values = jnp.asarray(f(z[..., 0, :] if single else z))
        if values.shape != z.shape[:-2]:
            raise refuse(
                called,
                f"f returned the shape {values.shape} for draws of the shape "
                f"{z.shape[:-2] + z.shape[-1:] if single else z.shape}",
                f"one value for each draw and member of the batch, {z.shape[:-2]}",
                f"Sum over what belongs to one draw: f(z).sum({-1 if single else (-2, -1)}).",
            )
        return widen(values)

    return minded, logits[None] if single else logits
