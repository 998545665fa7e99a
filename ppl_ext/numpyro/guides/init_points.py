"""Starting points: a model's own initialisation strategy, drawn until the density is finite."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import biject_to

from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.compiled_density import compile_density
from ppl_ext.numpyro.tracing.model_call import ModelCall

__all__ = ["draw_start"]

_ATTEMPTS = 100


def draw_start(
    bound: BoundModel, init_loc_fn: Callable, rng_key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Draw a point on unconstrained space whose log density and gradient are finite.

    Every key gives another point. Traceable; the program is kept for the call and the strategy.

    Args:
        bound: The model.
        init_loc_fn: One of the host's strategies (``numpyro.infer.init_to_uniform``, ...).
        rng_key: Random key.

    Returns:
        The point ``z[dim]``, and whether it is a finite one (after a hundred attempts).
    """
    return _starter(bound.call, init_loc_fn)(rng_key, bound.arrays)


@functools.lru_cache(maxsize=64)
def _starter(call: ModelCall, init_loc_fn: Callable) -> Callable:
    strategy = init_loc_fn if isinstance(init_loc_fn, functools.partial) else init_loc_fn()
    names = [latent.name for latent in call.sites.latents]
    compiled = compile_density(call)

    def propose(rng_key, arrays):
        model = handlers.substitute(handlers.seed(call.run, rng_key), substitute_fn=strategy)
        trace = handlers.trace(model).get_trace(arrays)
        coordinates = [
            biject_to(trace[name]["fn"].support).inv(trace[name]["value"]) for name in names
        ]
        return jnp.concatenate([jnp.ravel(z).astype(call.dtype) for z in coordinates])

    def start(rng_key, arrays):
        def search(state):
            attempt, rng_key, _, _ = state
            rng_key, proposal_key = jax.random.split(rng_key)
            z = propose(proposal_key, arrays)
            log_p, gradient = compiled.log_density(z[None], arrays)
            finite = jnp.isfinite(log_p[0]) & jnp.isfinite(gradient).all()
            return attempt + 1, rng_key, z, finite

        first = (0, rng_key, jnp.zeros(compiled.dim, call.dtype), jnp.array(False))
        unfinished = lambda state: (state[0] < _ATTEMPTS) & ~state[3]  # noqa: E731
        with handlers.block():
            _, _, z, finite = jax.lax.while_loop(unfinished, search, first)
        return z, finite

    return jax.jit(start)
