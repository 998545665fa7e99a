"""The optimisers of trainings on minibatches, as transformations of parameters in a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from ppl_ext.training.refusals import say_wrong_optimizer

__all__ = ["DEFAULT_OPTIMIZER", "check_optimizer", "describe_optimizer", "put_in_a_row"]

_WARM_UP = 100  # steps until the step size is reached

DEFAULT_OPTIMIZER = optax.chain(
    optax.scale_by_adam(),
    optax.scale_by_schedule(lambda made: -jnp.minimum(1.0, (made + 1) / _WARM_UP)),
)
"""Adam of step size one, with a warm-up."""


def check_optimizer(optim: Any) -> None:
    """Refuse what is no optimiser of optax.

    Args:
        optim: What was given; None for the default.

    Raises:
        TypeError: Optimisers of the host keep the parameters in their own state, where neither
            averages nor the way back to the best can put others.
    """
    if optim is not None and not isinstance(optim, optax.GradientTransformation):
        raise say_wrong_optimizer(optim, "an optimiser of optax", "optax.adamw(1e-3)")


def put_in_a_row(
    optim: optax.GradientTransformation, unravel: Callable[[jax.Array], Any]
) -> optax.GradientTransformation:
    """An optimiser of named parameters as one of their vector.

    Args:
        optim: The optimiser.
        unravel: From the vector to the parameters.
    """

    def init(flat: jax.Array) -> Any:
        return optim.init(unravel(flat))

    def update(slope: jax.Array, state: Any, flat: jax.Array) -> tuple[jax.Array, Any]:
        updates, state = optim.update(unravel(slope), state, unravel(flat))
        return ravel_pytree(updates)[0].astype(flat.dtype), state

    return optax.GradientTransformation(init, update)


def describe_optimizer(optim: optax.GradientTransformation | None, params: Any) -> str | None:
    """What tells an optimiser of optax from others: the structure of its state.

    Args:
        optim: The optimiser.
        params: The parameters as it sees them.
    """
    return None if optim is None else str(jax.tree.structure(jax.eval_shape(optim.init, params)))
