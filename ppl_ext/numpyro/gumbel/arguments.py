"""What the distributions check of their arguments, and how they refuse them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpyro.distributions import Distribution


def refuse(called: str, found: str, expected: str, cure: str) -> ValueError:
    """Build an error of four parts."""
    return ValueError(f"{called}: {found}; expected {expected}. {cure}")


def widen(array: jax.Array) -> jax.Array:
    """Lift half precision to float32, in which all arithmetic is done."""
    array = jnp.asarray(array)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def read_logits(called, probs, logits, validate_args) -> jax.Array:
    """Return logits from one of the two, checked."""
    if (probs is None) == (logits is None):
        raise refuse(
            called,
            f"found {'neither probs nor' if probs is None else 'both probs and'} logits",
            "exactly one of them",
            f"{called}(..., logits=logits).",
        )
    name, given = ("probs", probs) if logits is None else ("logits", logits)
    given = jnp.asarray(given) if isinstance(given, (list, tuple)) else given
    if not jnp.issubdtype(jnp.result_type(given), jnp.floating):
        raise refuse(
            called,
            f"{name} are of type {jnp.result_type(given)}",
            "floating-point numbers",
            f"{called}(..., {name}={name}.astype(float)).",
        )
    if checking(validate_args, given):
        _check_values(called, name, np.asarray(given).astype(float))
    given = jnp.asarray(given)
    return given if logits is not None else jnp.log(given)


def read_floats(called, name, given, like=None) -> jax.Array:
    """Return an argument as an array of floating-point numbers."""
    array = jnp.asarray(given)
    if like is not None and array.weak_type:
        array = array.astype(like.dtype)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise refuse(
            called,
            f"{name} is of type {array.dtype}",
            "floating-point numbers",
            f"{called}(..., {name}={name}.astype(float)).",
        )
    return array


def check_axis(called, name, array) -> jax.Array:
    """Refuse an argument without an axis of classes."""
    if array.ndim == 0 or array.shape[-1] == 0:
        raise refuse(
            called,
            f"{name} has the shape {array.shape}",
            "classes along the last axis, at least one",
            f"Stack what belongs to the classes: {name}=jnp.stack({name}, -1).",
        )
    return array


def check_classes(called: str, logits: jax.Array, validate_args: bool | None) -> None:
    """Refuse logits without an axis of classes, and rows without a possible class."""
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise refuse(
            called,
            f"logits have the shape {logits.shape}",
            "classes along the last axis, at least one",
            "Stack the logits of the classes: jnp.stack(logits, -1).",
        )
    if checking(validate_args, logits) and (np.asarray(logits) == -np.inf).all(-1).any():
        raise refuse(
            called,
            "all logits of a row are -inf (or all its probs are 0)",
            "at least one possible class in each row",
            "Mask the row itself: numpyro.handlers.mask(mask=logits.max(-1) > -jnp.inf).",
        )


def read_temperature(called, temperature, like, batch_shape, validate_args) -> jax.Array:
    """Return the temperature as an array that broadcasts against the batch, checked."""
    try:
        array = jnp.asarray(temperature, dtype=widen(like).dtype)
    except (TypeError, ValueError) as error:
        raise refuse(
            called,
            f"temperature is {temperature!r}",
            "positive numbers",
            "temperature=0.5, or of a schedule its value at a step: temperature=schedule(step).",
        ) from error
    if checking(validate_args, temperature) and not (np.asarray(temperature) > 0).all():
        raise refuse(
            called,
            f"temperature is {float(np.asarray(temperature).min())}",
            "positive numbers",
            "Parametrise it on the log scale: temperature=jnp.exp(log_temperature).",
        )
    try:
        np.broadcast_shapes(array.shape, batch_shape)
    except ValueError as error:
        raise refuse(
            called,
            f"temperature has the shape {array.shape}, which does not broadcast against "
            f"the batch shape {tuple(batch_shape)}",
            "one temperature, or one for each member of the batch (the classes are no batch)",
            "temperature=0.5, or temperature=jnp.full(logits.shape[:-1], 0.5).",
        ) from error
    return array


def checking(validate_args: bool | None, array: jax.Array) -> bool:
    """Say whether an argument is checked: by the host's switch, and not while it is traced."""
    switch = Distribution._validate_args if validate_args is None else validate_args
    return switch and not isinstance(array, Tracer)


def to_probs(logits: jax.Array) -> jax.Array:
    """Normalise logits to probabilities, in the precision they came in."""
    return jax.nn.softmax(widen(logits), -1).astype(logits.dtype)


def _check_values(called, name, given):
    sound = given >= 0 if name == "probs" else given < np.inf  # NaN fails either
    if not sound.all():
        raise refuse(
            called,
            f"{name} contain {given[~sound].min()}",
            "numbers >= 0" if name == "probs" else "numbers below +inf; -inf rules a class out",
            f"Look at {name}[~jnp.isfinite({name})] and at what made them.",
        )
