"""Whether the arguments of a distribution are what it can take."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import constraints

__all__ = ["find_invalid_arguments", "locate_invalid_arguments", "refuse_invalid"]

_ROUNDING = 1e-5  # of probabilities that were added or taken from one


def refuse_invalid(fn: dist.Distribution, log_prob: jax.Array) -> jax.Array:
    """Give arguments that a distribution cannot take the log density -inf.

    A compiled program cannot raise, and the host's formulas are finite for many of them: a Poisson
    count of zero has the density ``exp(-rate)``, which for a negative rate is above one.

    Args:
        fn: The distribution.
        log_prob: Its log density, with the batch shape or more.

    Returns:
        ``log_prob``, and -inf where an argument is outside of its bounds.
    """
    for _, valid in find_invalid_arguments(fn):
        log_prob = jnp.where(valid, log_prob, -jnp.inf)
    return log_prob


def find_invalid_arguments(fn: dist.Distribution) -> list[tuple[str, Any]]:
    """Arguments with bounds, and where each is valid; those known to be valid are left out.

    Args:
        fn: The distribution. What it is made of is looked at too.

    Returns:
        Names, and truth values that broadcast with its batch shape.
    """
    found = []
    for name, constraint in fn.arg_constraints.items():
        # What the host derives from another argument is made when it is asked for.
        if name in vars(fn) and (valid := _within(constraint, vars(fn)[name])) is not None:
            found.append((name, valid))
    base = getattr(fn, "base_dist", None)
    if isinstance(base, dist.Distribution):
        found += [(name, _lift(fn, valid)) for name, valid in find_invalid_arguments(base)]
    if isinstance(fn, dist.MixtureSameFamily):
        parts = find_invalid_arguments(fn.component_distribution)
        shape = fn.component_distribution.batch_shape
        found += [(name, jnp.broadcast_to(valid, shape).all(-1)) for name, valid in parts]
    return found


def locate_invalid_arguments(
    trace: Mapping[str, Mapping[str, Any]], names: Iterable[str]
) -> dict[str, jax.Array]:
    """Whether any value of an argument is invalid, by the words that name it and its site."""
    return {
        f"{argument} of {name!r}": (~valid).any()
        for name in names
        for argument, valid in find_invalid_arguments(trace[name]["fn"])
    }


def _within(constraint: Any, value: Any) -> Any:
    """Where a value is within constant bounds; None where it is known to be, or has none."""
    events = 0
    if isinstance(constraint, constraints.independent):
        events, constraint = constraint.reinterpreted_batch_ndims, constraint.base_constraint
    # Every angle stands for one on the circle.
    if constraint is constraints.circular or constraint.is_discrete:
        return None
    low = getattr(constraint, "lower_bound", -np.inf)
    high = getattr(constraint, "upper_bound", np.inf)
    if isinstance(low, jax.Array) or isinstance(high, jax.Array) or np.isinf([low, high]).all():
        return None
    known = not isinstance(value, jax.core.Tracer)
    value = np.asarray(value) if known else value
    rounding = 0.0 if np.isinf([low, high]).any() else _ROUNDING
    valid = (value >= low - rounding) & (value <= high + rounding)
    valid = valid.all(tuple(range(-events, 0))) if events else valid
    return None if known and valid.all() else valid


def _lift(fn: dist.Distribution, valid: Any) -> Any:
    """What is valid of the base of a distribution, for its own batch."""
    if isinstance(fn, dist.MaskedDistribution):
        return valid | ~jnp.asarray(fn._mask)
    if isinstance(fn, dist.Independent):
        whole = jnp.broadcast_to(valid, fn.base_dist.batch_shape)
        return whole.all(tuple(range(-fn.reinterpreted_batch_ndims, 0)))
    return valid
