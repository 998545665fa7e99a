"""The compiled programs that fit the posteriors of rows, kept for the next rows like them."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ppl_ext.amortization.layout import RowLayout
from ppl_ext.numpyro.amortized.framed_flows import RowFlow
from ppl_ext.numpyro.amortized.gaussians import Change, Gaussian
from ppl_ext.numpyro.amortized.row_terms import RowTerms
from ppl_ext.numpyro.tracing.model_call import Arrays, ModelCall

__all__ = ["RefinementPrograms", "RefinementSettings", "Rows", "compile_refinement"]

_STILL = 0.01  # nats for a standard deviation, below which a slope moves little


class RefinementSettings(NamedTuple):
    """How rows are fitted.

    Args:
        max_steps: Steps of Adam, whose size falls to a hundredth.
        step_size: The first of them, in standard deviations of the encoder's answer.
        num_particles: Draws of a gradient.
    """

    max_steps: int
    step_size: float
    num_particles: int


class Rows(NamedTuple):
    """What the programs are fed.

    Args:
        arrays: Array arguments of the model.
        params: Its parameters, and those of the guide.
        local: The encoder's answers.
        shared: Gaussian of the shared sites; None where there are none.
    """

    arrays: Arrays
    params: Mapping[str, Any]
    local: Gaussian | RowFlow
    shared: Gaussian | None

    def draw_shared(self, rng_key: jax.Array) -> jax.Array | None:
        """Coordinates of the shared sites, ``[dim]``."""
        return None if self.shared is None else self.shared.distribution.sample(rng_key)


class RefinementPrograms(NamedTuple):
    """Compiled functions of a key and `Rows`.

    Args:
        ties: Whether something outside of the plate hangs on local sites.
        fit: The change that fits every row best.
        compare: Of many keys, and of a change too: terms of the bounds before and after it,
            ``[draw, row]``.
    """

    ties: Callable[[jax.Array, Rows], jax.Array]
    fit: Callable[[jax.Array, Rows], Change]
    compare: Callable[[jax.Array, Rows, Change], tuple[jax.Array, jax.Array]]


@functools.lru_cache(maxsize=32)
def compile_refinement(
    call: ModelCall, layout: RowLayout, settings: RefinementSettings
) -> RefinementPrograms:
    """The programs of a model, of its sites and of settings.

    Args:
        call: The model and its fixed arguments.
        layout: The sites.
        settings: How rows are fitted.
    """
    rate = optax.exponential_decay(settings.step_size, settings.max_steps, 0.01)
    adam = optax.adam(rate, b1=0.8, b2=0.99, eps=_STILL)

    def evaluate(given: Rows, rng_key: jax.Array, z: jax.Array) -> jax.Array:
        """Log densities of rows ``[row]``, beside a draw of what they share."""
        terms = RowTerms(call, given.arrays, given.params, layout)
        return terms.evaluate(given.draw_shared(rng_key), z)[0]

    def lose(change, key, given):
        shared_key, local_key = jax.random.split(key)
        base = given.local
        z, _ = base.moved(change).push(jax.random.normal(local_key, base.loc.shape))
        # The density of a draw is that of a held posterior: no noise is left where it is exact.
        log_q = base.moved(jax.lax.stop_gradient(change)).log_prob(z)
        return (log_q - evaluate(given, shared_key, z)).sum()

    def lose_all(change, key, given):
        keys = jax.random.split(key, settings.num_particles)
        return jax.vmap(lose, (None, 0, None))(change, keys, given).mean()

    def fit(rng_key, given):
        def step(carry, key):
            change, state = carry
            # A row that cannot be scored stands still and leaves the others alone.
            slope = jax.tree.map(
                lambda g: jnp.where(jnp.isfinite(g), g, 0.0),
                jax.grad(lose_all)(change, key, given),
            )
            move, state = adam.update(slope, state)
            return (optax.apply_updates(change, move), state), None

        start = given.local.start_change()
        keys = jax.random.split(rng_key, settings.max_steps)
        return jax.lax.scan(step, (start, adam.init(start)), keys)[0][0]

    def ties(rng_key, given):
        # Not at the mode, where what ties rows together may have no slope.
        somewhere, _ = given.local.push(jax.random.normal(rng_key, given.local.loc.shape))
        terms = RowTerms(call, given.arrays, given.params, layout)
        return terms.hangs_outside(given.draw_shared(rng_key), somewhere)

    def compare(rng_key, given, change):
        shared_key, local_key = jax.random.split(rng_key)
        e = jax.random.normal(local_key, given.local.loc.shape)
        bounds = []
        for local in (given.local, given.local.moved(change)):
            z, log_q = local.push(e)
            bounds.append(evaluate(given, shared_key, z) - log_q)
        return tuple(bounds)

    many = jax.vmap(compare, (0, None, None))
    return RefinementPrograms(jax.jit(ties), jax.jit(fit), jax.jit(many))
