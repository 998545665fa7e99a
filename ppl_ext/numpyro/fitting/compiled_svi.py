"""The compiled programs that carry a stochastic fit out, and one start on its way through them."""

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
from numpyro.infer.elbo import ELBO, TraceEnum_ELBO

from ppl_ext.fitting.settings import Stochastic
from ppl_ext.numpyro.guides.guide_call import GuideCall
from ppl_ext.numpyro.objectives.stick_the_landing import StickTheLanding
from ppl_ext.numpyro.tracing.enumeration.summation import first_free_dim
from ppl_ext.numpyro.tracing.model_call import Arrays

__all__ = ["CompiledSVI", "Progress", "SVIRun", "compile_svi"]

_EVALUATIONS = 512


class Progress(NamedTuple):
    """Where a run stands: the host's state and the running average of the iterates."""

    state: Any
    average: Any
    averaged: jax.Array


@dataclass(frozen=True, eq=False)
class CompiledSVI:
    """The compiled functions of a stochastic fit; ``svi`` is the host's object behind them."""

    svi: SVI
    own_optimiser: bool
    num_particles: int
    initialise: Callable[..., Progress]
    step: Callable[..., tuple[Progress, jax.Array]]
    score: Callable[..., jax.Array]
    constrain: Callable[..., dict[str, Any]]
    _ready: dict[int, Callable] = field(default_factory=dict)

    def advance(
        self, progress: Progress, steps: int, arrays: Arrays
    ) -> tuple[Progress, np.ndarray, float]:
        """Make some steps: the new progress, ``losses[step]`` and seconds spent compiling."""
        seconds = 0.0
        if steps not in self._ready:
            began = time.perf_counter()
            self._ready[steps] = self.step.lower(progress, arrays, steps).compile()
            seconds = time.perf_counter() - began
        progress, losses = self._ready[steps](progress, arrays)
        return progress, np.asarray(losses, dtype=np.float64), seconds

    def unconstrained(self, progress: Progress) -> Any:
        """The parameters as the optimiser sees them."""
        return self.svi.optim.get_params(progress.state.optim_state)


@dataclass
class SVIRun:
    """One start on its way: what is reached, and the best iterate by the mean loss of a chunk.

    Args:
        compiled: The programs.
        arrays: The array arguments of the model.
        progress: Where the run stands.
        compile_seconds: Time that it has spent compiling.
        best_loss: Lowest mean loss of a chunk.
        best: The parameters after that chunk, as the optimiser sees them.
    """

    compiled: CompiledSVI
    arrays: Arrays
    progress: Progress
    compile_seconds: float = 0.0
    best_loss: float = np.inf
    best: Any = None

    def advance(self, steps: int) -> np.ndarray:
        """Make some steps: ``losses[step]``."""
        progress, losses, seconds = self.compiled.advance(self.progress, steps, self.arrays)
        self.compile_seconds += seconds
        # A chunk that is not finite stays undone, so that its first bad step can be looked at.
        if np.isfinite(losses).all():
            if losses.mean() < self.best_loss:
                self.best_loss = float(losses.mean())
                self.best = self.compiled.unconstrained(progress)
            self.progress = progress
        return losses

    def set_step_size(self, step_size: float) -> None:
        """Change the step size of the default optimiser and start its average anew."""
        count, (params, inner) = self.progress.state.optim_state
        rate = np.asarray(step_size, inner.hyperparams["learning_rate"].dtype)
        inner = inner._replace(hyperparams={**inner.hyperparams, "learning_rate": rate})
        state = self.progress.state._replace(optim_state=(count, (params, inner)))
        self.progress = Progress(state, self.progress.average, np.zeros((), np.int32))

    def score(self, rng_key: jax.Array, iterate: Any) -> np.ndarray:
        """Losses of fresh draws, ``[draw]``, at the parameters that the optimiser sees."""
        return np.asarray(self.compiled.score(rng_key, iterate, self.arrays), np.float64)


@functools.lru_cache(maxsize=32)
def compile_svi(guided: GuideCall, settings: Stochastic) -> CompiledSVI:
    """The programs of a model, guide and settings, kept for the next fit like it."""
    own_optimiser = settings.optim is None
    optim = optax.inject_hyperparams(optax.adam)(settings.step_size)
    loss = settings.elbo or _default_objective(guided, settings)
    optim = optim if own_optimiser else settings.optim
    svi = SVI(guided.call.run, guided.run, optim, loss)

    def initialise(rng_key, arrays):
        state = svi.init(rng_key, arrays)
        return Progress(state, svi.optim.get_params(state.optim_state), jnp.zeros((), jnp.int32))

    def one_step(progress, arrays):
        state, loss = svi.update(progress.state, arrays)
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
        params = svi.constrain_fn(unconstrained)

        def one(rng_key):
            return svi.loss.loss(rng_key, params, svi.model, svi.guide, arrays)

        return jax.lax.map(one, jax.random.split(rng_key, _EVALUATIONS))

    return CompiledSVI(
        svi=svi,
        own_optimiser=own_optimiser,
        num_particles=getattr(loss, "num_particles", 1),
        initialise=jax.jit(initialise) if guided.may_be_traced else initialise,
        step=step,
        score=score,
        constrain=jax.jit(lambda unconstrained: svi.constrain_fn(unconstrained)),
    )


def _default_objective(guided: GuideCall, settings: Stochastic) -> ELBO:
    sites = guided.call.sites
    if not sites.enumerated:
        return StickTheLanding(settings.num_particles)
    nesting = -first_free_dim(sites) - 1
    return TraceEnum_ELBO(settings.num_particles, max_plate_nesting=nesting)
