"""The compiled programs that carry a stochastic fit out."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpyro.infer import SVI

from ppl_ext.fitting.settings import Stochastic
from ppl_ext.numpyro.objectives.stick_the_landing import StickTheLanding
from ppl_ext.numpyro.tracing.bound_model import GuideRef, ModelCall

__all__ = ["Programs", "Progress", "compile_svi"]

_EVALUATIONS = 512


class Progress(NamedTuple):
    """Where a run stands: the host's state and the running average of the iterates."""

    state: Any
    average: Any
    averaged: jax.Array


@dataclass(frozen=True, eq=False)
class Programs:
    """The compiled functions of a stochastic fit; ``svi`` is the host's object behind them."""

    svi: SVI
    own_optimiser: bool
    initialise: Callable[..., Progress]
    step: Callable[..., tuple[Progress, jax.Array]]
    score: Callable[..., jax.Array]
    constrain: Callable[..., dict[str, Any]]
    _ready: dict[int, Callable] = field(default_factory=dict)

    def advance(
        self, progress: Progress, steps: int, arrays: tuple[Any, ...]
    ) -> tuple[Progress, np.ndarray, float]:
        """Make some steps: the new progress, ``losses[step]`` and seconds spent compiling."""
        seconds = 0.0
        if steps not in self._ready:
            began = time.perf_counter()
            self._ready[steps] = self.step.lower(progress, arrays, steps).compile()
            seconds = time.perf_counter() - began
        progress, losses = self._ready[steps](progress, arrays)
        return progress, np.asarray(losses, dtype=np.float64), seconds

    def set_step_size(self, progress: Progress, step_size: float) -> Progress:
        """Change the step size of the default optimiser and start its average anew."""
        count, (params, inner) = progress.state.optim_state
        rate = np.asarray(step_size, inner.hyperparams["learning_rate"].dtype)
        inner = inner._replace(hyperparams={**inner.hyperparams, "learning_rate": rate})
        state = progress.state._replace(optim_state=(count, (params, inner)))
        return Progress(state, progress.average, np.zeros((), np.int32))

    def unconstrained(self, progress: Progress) -> Any:
        """The parameters as the optimiser sees them."""
        return self.svi.optim.get_params(progress.state.optim_state)


@functools.lru_cache(maxsize=32)
def compile_svi(call: ModelCall, ref: GuideRef, settings: Stochastic) -> Programs:
    """The programs of a model, guide and settings, kept for the next fit like it."""
    own_optimiser = settings.optim is None
    optim = optax.inject_hyperparams(optax.adam)(settings.step_size)
    loss = settings.elbo or StickTheLanding(settings.num_particles)
    svi = SVI(call.model, ref.guide, optim if own_optimiser else settings.optim, loss)

    def initialise(rng_key, arrays):
        args, kwargs = call.arguments(arrays)
        state = svi.init(rng_key, *args, **kwargs)
        return Progress(state, svi.optim.get_params(state.optim_state), jnp.zeros((), jnp.int32))

    def one_step(progress, arrays):
        args, kwargs = call.arguments(arrays)
        state, loss = svi.update(progress.state, *args, **kwargs)
        # Weights that grow with the step: the way into the last phase soon counts for nothing.
        weight = 4.0 / (progress.averaged + 4.0)
        average = jax.tree.map(
            lambda old, new: old + (weight * (new - old)).astype(old.dtype),
            progress.average,
            svi.optim.get_params(state.optim_state),
        )
        return Progress(state, average, progress.averaged + 1), loss

    @functools.partial(jax.jit, static_argnums=2)
    def step(progress, arrays, steps):
        return jax.lax.scan(lambda p, _: one_step(p, arrays), progress, None, length=steps)

    @jax.jit
    def score(rng_key, unconstrained, arrays):
        args, kwargs = call.arguments(arrays)
        params = svi.constrain_fn(unconstrained)

        def one(rng_key):
            return svi.loss.loss(rng_key, params, svi.model, svi.guide, *args, **kwargs)

        return jax.lax.map(one, jax.random.split(rng_key, _EVALUATIONS))

    # The host's guides look at the model at their first call and must not do so while traced.
    follows_keys = hasattr(ref.guide, "settings")
    return Programs(
        svi=svi,
        own_optimiser=own_optimiser,
        initialise=jax.jit(initialise) if follows_keys else initialise,
        step=step,
        score=score,
        constrain=jax.jit(lambda unconstrained: svi.constrain_fn(unconstrained)),
    )
