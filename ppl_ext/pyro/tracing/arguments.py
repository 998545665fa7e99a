"""Whether the arguments of a distribution are what it can take."""

import math
from typing import Any

import torch
from pyro.distributions import MaskedDistribution
from torch.distributions import Independent, MixtureSameFamily, constraints

__all__ = ["find_invalid_arguments", "refuse_invalid"]

_ROUNDING = 1e-5  # of probabilities that were added or taken from one


def refuse_invalid(fn: Any, log_prob: torch.Tensor) -> torch.Tensor:
    """Give arguments that a distribution cannot take the log density -inf.

    Without validation, which ``vmap`` cannot follow, torch's formulas are finite for many of them:
    a Poisson count of zero has the density ``exp(-rate)``, which for a negative rate is above one.

    Args:
        fn: The distribution.
        log_prob: Its log density, with the batch shape or more.

    Returns:
        ``log_prob``, and -inf where an argument is outside of its bounds.
    """
    for _, valid in find_invalid_arguments(fn):
        log_prob = torch.where(valid, log_prob, -torch.inf)
    return log_prob


def find_invalid_arguments(fn: Any) -> list[tuple[str, torch.Tensor]]:
    """Arguments with bounds, and where each is valid.

    Args:
        fn: The distribution. What it is made of is looked at too.

    Returns:
        Names, and truth values that broadcast with its batch shape.
    """
    found = []
    for name, constraint in _constraints_of(fn).items():
        # What torch derives from another argument is made when it is asked for.
        if name in vars(fn) and (valid := _within(constraint, vars(fn)[name])) is not None:
            found.append((name, valid))
    base = getattr(fn, "base_dist", None)
    if base is not None:
        found += [(name, _lift(fn, valid)) for name, valid in find_invalid_arguments(base)]
    if isinstance(fn, MixtureSameFamily):
        parts = find_invalid_arguments(fn.component_distribution)
        shape = fn.component_distribution.batch_shape
        found += [(name, valid.expand(shape).all(-1)) for name, valid in parts]
    return found


def _constraints_of(fn: Any) -> dict[str, constraints.Constraint]:
    try:
        return fn.arg_constraints
    except NotImplementedError:  # a user's own distribution
        return {}


def _within(constraint: constraints.Constraint, value: Any) -> torch.Tensor | None:
    """Where a value is within constant bounds; None where it has none."""
    events = 0
    if isinstance(constraint, constraints.independent):
        events, constraint = constraint.reinterpreted_batch_ndims, constraint.base_constraint
    if constraints.is_dependent(constraint) or constraint.is_discrete:
        return None
    low = getattr(constraint, "lower_bound", -math.inf)
    high = getattr(constraint, "upper_bound", math.inf)
    if isinstance(low, torch.Tensor) or isinstance(high, torch.Tensor):
        return None
    if not isinstance(value, torch.Tensor) or (low == -math.inf and high == math.inf):
        return None
    rounding = 0.0 if math.inf in (-low, high) else _ROUNDING
    valid = torch.ones((), dtype=torch.bool)
    if low > -math.inf:
        valid = value >= low - rounding
    if high < math.inf:
        valid = valid & (value <= high + rounding)
    return valid.flatten(-events).all(-1) if events else valid


def _lift(fn: Any, valid: torch.Tensor) -> torch.Tensor:
    """What is valid of the base of a distribution, for its own batch."""
    if isinstance(fn, MaskedDistribution):
        return valid | (~fn._mask if isinstance(fn._mask, torch.Tensor) else not fn._mask)
    if isinstance(fn, Independent) and fn.reinterpreted_batch_ndims:
        whole = valid.expand(fn.base_dist.batch_shape)
        return whole.flatten(-fn.reinterpreted_batch_ndims).all(-1)
    return valid
