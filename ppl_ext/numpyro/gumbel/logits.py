"""Logits and temperatures as they are given: read, checked, and widened for arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpyro.distributions import Distribution

from ppl_ext.estimators.arguments import (
    check_class_axis,
    check_extreme,
    check_probs_or_logits,
    refuse_impossible_row,
    refuse_temperature,
    refuse_temperature_shape,
    refuse_type,
)


def widen(array: jax.Array) -> jax.Array:
    """Lift half precision to float32, in which all arithmetic is done."""
    array = jnp.asarray(array)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def read_logits(called, probs, logits, validate_args) -> jax.Array:
    """Return logits from one of the two, checked."""
    check_probs_or_logits(called, probs, logits)
    name, given = ("probs", probs) if logits is None else ("logits", logits)
    given = jnp.asarray(given) if isinstance(given, (list, tuple)) else given
    if not jnp.issubdtype(jnp.result_type(given), jnp.floating):
        raise refuse_type(called, name, jnp.result_type(given), "astype(float)")
    if checking(validate_args, given) and np.size(given):
        # The extreme tells all, NaN among it.
        values = np.asarray(given).astype(float)
        extreme = values.min() if name == "probs" else values.max()
        check_extreme(called, name, extreme, "jnp.isfinite")
    given = jnp.asarray(given)
    return given if logits is not None else jnp.log(given)


def read_class_logits(called, probs, logits, validate_args) -> jax.Array:
    """Return logits with classes along the last axis, of which each row has a possible one."""
    logits = read_logits(called, probs, logits, validate_args)
    check_classes(called, logits, validate_args)
    return logits


def check_classes(called: str, logits: jax.Array, validate_args: bool | None) -> None:
    """Refuse logits without an axis of classes, and rows without a possible class."""
    check_class_axis(called, logits.shape, "jnp.stack")
    if checking(validate_args, logits) and (np.asarray(logits) == -np.inf).all(-1).any():
        raise refuse_impossible_row(
            called, "numpyro.handlers.mask(mask=logits.max(-1) > -jnp.inf)"
        )


def count_possible(logits: jax.Array, validate_args: bool | None) -> int:
    """Count the classes that are possible in every row: all, where nothing is checked."""
    if not checking(validate_args, logits):
        return logits.shape[-1]
    return int((np.asarray(logits) > -np.inf).sum(-1).min())


def read_temperature(called, temperature, like, batch_shape, validate_args) -> jax.Array:
    """Return the temperature as an array that broadcasts against the batch, checked."""
    try:
        array = jnp.asarray(temperature, dtype=widen(like).dtype)
    except (TypeError, ValueError) as error:
        cure = "temperature=0.5, or of a schedule its value at a step: temperature=schedule(step)."
        raise refuse_temperature(called, repr(temperature), cure) from error
    if checking(validate_args, temperature) and not (np.asarray(temperature) > 0).all():
        cure = "Parametrise it on the log scale: temperature=jnp.exp(log_temperature)."
        raise refuse_temperature(called, float(np.asarray(temperature).min()), cure)
    try:
        np.broadcast_shapes(array.shape, batch_shape)
    except ValueError as error:
        raise refuse_temperature_shape(called, array.shape, batch_shape, "jnp.full") from error
    return array


def checking(validate_args: bool | None, array: jax.Array) -> bool:
    """Say whether an argument is checked: by the host's switch, and not while it is traced."""
    switch = Distribution._validate_args if validate_args is None else validate_args
    return switch and not isinstance(array, Tracer)
