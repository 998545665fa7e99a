"""Starting points: a model's own initialisation strategy, drawn until the density is finite."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import biject_to

from ppl_ext.numpyro.tracing.bound_model import ModelCall
from ppl_ext.numpyro.tracing.compiled_density import compile_programs
from ppl_ext.numpyro.tracing.find_sites import inspect_model

__all__ = ["draw_start"]

_ATTEMPTS = 100


def draw_start(
    call: ModelCall, arrays: tuple[Any, ...], init_loc_fn: Callable, rng_key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Draw a point on unconstrained space whose log density and gradient are finite.

    Every key gives another point. Traceable; the program is kept for the call and the strategy.

    Args:
        call: The model and its fixed arguments.
        arrays: Its array arguments.
        init_loc_fn: One of the host's strategies (``numpyro.infer.init_to_uniform``, ...).
        rng_key: Random key.

    Returns:
        The point ``z[dim]``, and whether it is a finite one (after a hundred attempts).
    """
    return _starter(call, init_loc_fn)(rng_key, arrays)


@functools.lru_cache(maxsize=64)
def _starter(call: ModelCall, init_loc_fn: Callable) -> Callable:
    strategy = init_loc_fn if isinstance(init_loc_fn, functools.partial) else init_loc_fn()
    names = [latent.name for latent in inspect_model(call).latents]
    programs = compile_programs(call)

    def propose(rng_key, arrays):
        args, kwargs = call.arguments(arrays)
        model = handlers.substitute(handlers.seed(call.model, rng_key), substitute_fn=strategy)
        trace = handlers.trace(model).get_trace(*args, **kwargs)
        coordinates = [
            biject_to(trace[name]["fn"].support).inv(trace[name]["value"]) for name in names
        ]
        return jnp.concatenate([jnp.ravel(z).astype(call.dtype) for z in coordinates])

    def start(rng_key, arrays):
        def search(state):
            attempt, rng_key, _, _ = state
            rng_key, proposal_key = jax.random.split(rng_key)
            z = propose(proposal_key, arrays)
            log_p, gradient = programs.log_density(z[None], arrays)
            finite = jnp.isfinite(log_p[0]) & jnp.isfinite(gradient).all()
            return attempt + 1, rng_key, z, finite

        first = (0, rng_key, jnp.zeros(programs.dim, call.dtype), jnp.array(False))
        unfinished = lambda state: (state[0] < _ATTEMPTS) & ~state[3]  # noqa: E731
        with handlers.block():
            _, _, z, finite = jax.lax.while_loop(unfinished, search, first)
        return z, finite

    return jax.jit(start)
