"""A flow's parameters on their way: by likelihood of draws, or by the evidence lower bound."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ppl_ext.numpyro.flows.flow import AbstractFlow
from ppl_ext.numpyro.tracing.compiled_density import compile_density
from ppl_ext.numpyro.tracing.model_call import ModelCall

__all__ = [
    "BATCH",
    "Progress",
    "Training",
    "begin",
    "compile_bound",
    "compile_likelihood",
    "compile_push",
    "compile_score",
]

BATCH = 512  # draws of a step
_LONGEST = 5.0  # norm of a gradient
_WARM_UP = 20  # steps until the step size is reached


class Progress(NamedTuple):
    """Where a training stands.

    Args:
        weights: The parameters of the flow.
        adam: State of the optimiser.
        average: Average of the iterates.
        step: Steps made.
        averaged: Steps since the average began.
    """

    weights: Any
    adam: Any
    average: Any
    step: Any
    averaged: Any


@dataclass
class Training:
    """A flow on its way.

    Args:
        program: A compiled step in a loop.
        data: What the program reads besides.
        rng_key: Random key.
        progress: Where it stands.
        step_size: Step size.
        slower: Whether the steps are the smaller ones.
    """

    program: Callable[..., tuple[Progress, jax.Array]]
    data: tuple[Any, ...]
    rng_key: jax.Array
    progress: Progress
    step_size: float
    slower: bool = False

    def advance(self, steps: int) -> np.ndarray:
        """Make some steps: ``losses[step]``; none is kept where one is not finite."""
        key = jax.random.fold_in(self.rng_key, int(self.progress.step))
        progress, losses = self.program(self.progress, key, self.step_size, self.data, steps)
        if np.isfinite(losses).all():
            self.progress = progress
        return np.asarray(losses, np.float64)

    def slow_down(self, factor: float, weights: Any) -> bool:
        """Go on from some weights with smaller steps, and begin the average anew: once."""
        if self.slower:
            return False
        self.slower = True
        self.step_size /= factor
        self.progress = self.progress._replace(
            weights=weights, average=weights, averaged=np.zeros((), np.int32)
        )
        return True


def begin(weights: Any) -> Progress:
    """The start of a training."""
    zero = np.zeros((), np.int32)
    return Progress(weights, _ADAM.init(weights), weights, zero, zero)


_ADAM = optax.chain(optax.clip_by_global_norm(_LONGEST), optax.scale_by_adam())


@functools.lru_cache(maxsize=32)
def compile_likelihood(flow: AbstractFlow) -> Callable[..., tuple[Progress, jax.Array]]:
    """Steps of maximum likelihood; the data are draws ``[draw, dim]`` in the frame."""

    def estimate(weights, rng_key, draws):
        rows = jax.random.randint(rng_key, (BATCH,), 0, len(draws))
        return jax.value_and_grad(lambda w: -flow(w).log_prob(draws[rows]).mean())(weights)

    # The average forgets, for steps of one size are made to the end.
    return _compile_steps(estimate, lambda averaged: jnp.maximum(0.05, 1 / averaged))


@functools.lru_cache(maxsize=32)
def compile_bound(
    flow: AbstractFlow, call: ModelCall
) -> Callable[..., tuple[Progress, jax.Array]]:
    """Steps along stick-the-landing gradients, by antithetic draws.

    The data are mean and Cholesky factor of the frame, and the array arguments of the model.
    """
    log_density = compile_density(call).log_density

    def estimate(weights, rng_key, loc, scale_tril, arrays):
        half = jax.random.normal(rng_key, (BATCH // 2, flow.dim), loc.dtype)
        e = jnp.concatenate([half, -half])
        u, back = jax.vjp(lambda w: flow.push(w, e)[0], weights)
        log_q, score = jax.vmap(jax.value_and_grad(lambda u: flow(weights).log_prob(u)))(u)
        log_p, gradient = log_density(loc + u @ scale_tril.T, arrays)
        pull = score - gradient @ scale_tril
        # A draw where the model has no finite density or gradient has nothing to say.
        sound = jnp.isfinite(log_p) & jnp.isfinite(log_q) & jnp.isfinite(pull).all(-1)
        share = jnp.where(sound, 1.0, 0.0) / jnp.maximum(1, sound.sum())
        pull = jnp.where(sound[:, None], pull, 0.0) * share[:, None]
        log_scale = jnp.log(jnp.diagonal(scale_tril)).sum()
        loss = jnp.sum(jnp.where(sound, log_q - log_scale - log_p, 0.0) * share)
        return jnp.where(sound.any(), loss, jnp.nan), back(pull)[0]

    # Weights that grow with the step: the way into the last phase soon counts for nothing.
    return _compile_steps(estimate, lambda averaged: 4.0 / (averaged + 3.0))


def _compile_steps(
    estimate: Callable[..., tuple[jax.Array, Any]], weigh: Callable[[jax.Array], jax.Array]
) -> Callable[..., tuple[Progress, jax.Array]]:
    @functools.partial(jax.jit, static_argnums=4)
    def advance(progress, rng_key, step_size, data, steps):
        def step(progress, rng_key):
            loss, gradient = estimate(progress.weights, rng_key, *data)
            direction, adam = _ADAM.update(gradient, progress.adam)
            made, averaged = progress.step + 1, progress.averaged + 1
            rate = step_size * jnp.minimum(1.0, made / _WARM_UP)
            weights = jax.tree.map(
                lambda w, d: w - (rate * d).astype(w.dtype), progress.weights, direction
            )
            weight = weigh(averaged)
            average = jax.tree.map(
                lambda old, new: old + (weight * (new - old)).astype(old.dtype),
                progress.average,
                weights,
            )
            return Progress(weights, adam, average, made, averaged), loss

        return jax.lax.scan(step, progress, jax.random.split(rng_key, steps))

    return advance


@functools.lru_cache(maxsize=32)
def compile_score(flow: AbstractFlow) -> Callable[..., jax.Array]:
    """The mean log density of draws in the frame."""
    return jax.jit(lambda weights, draws: flow(weights).log_prob(draws).mean())


@functools.lru_cache(maxsize=32)
def compile_push(flow: AbstractFlow) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """The way from noise to points in the frame, with its log determinant."""
    return jax.jit(flow.push)
