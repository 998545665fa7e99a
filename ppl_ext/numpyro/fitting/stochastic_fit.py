"""A stochastic fit: starts, phases, the choice of the result, and what went wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from numpyro import handlers
from numpyro.infer.autoguide import AutoGuide, AutoGuideList

from ppl_ext.fitting.loop import INTERRUPTED, FitLog, NonFiniteLossError, drive
from ppl_ext.fitting.settings import Stochastic
from ppl_ext.numpyro.fitting.compiled_svi import Programs, Progress, compile_svi
from ppl_ext.numpyro.tracing.bound_model import GuideRef, ModelCall
from ppl_ext.numpyro.tracing.compiled_density import score_trace
from ppl_ext.numpyro.tracing.find_sites import inspect_model
from ppl_ext.numpyro.tracing.refusals import refuse_guide

__all__ = ["descend"]

# From one phase to the next the step size is divided by this.
_REDUCTION = 5.0


@dataclass
class _Run:
    """One start on its way: what is reached, and the best iterate by the mean loss of a chunk."""

    programs: Programs
    arrays: tuple[Any, ...]
    progress: Progress
    compile_seconds: float = 0.0
    best_loss: float = np.inf
    best: Any = None

    def advance(self, steps: int) -> np.ndarray:
        progress, losses, seconds = self.programs.advance(self.progress, steps, self.arrays)
        self.compile_seconds += seconds
        # A chunk that is not finite stays undone, so that its first bad step can be looked at.
        if np.isfinite(losses).all():
            if losses.mean() < self.best_loss:
                self.best_loss = float(losses.mean())
                self.best = self.programs.unconstrained(progress)
            self.progress = progress
        return losses


def descend(
    rng_key: jax.Array,
    call: ModelCall,
    arrays: tuple[Any, ...],
    guide: Callable[..., Any],
    settings: Stochastic,
    restarts: int,
    progress_bar: bool,
) -> tuple[dict[str, Any], FitLog]:
    """Fit a guide by stochastic gradients.

    Args:
        rng_key: Random key.
        call: The model and its fixed arguments.
        arrays: Its array arguments.
        guide: The guide.
        settings: Optimiser, steps and rule.
        restarts: Number of starts.
        progress_bar: Whether to draw a bar.

    Returns:
        The parameters and the log.

    Raises:
        FloatingPointError: The loss of every start became NaN or infinite; the message names the
            step and the site.
    """
    programs = compile_svi(call, GuideRef.to(guide), settings)
    start_key, score_key = jax.random.split(rng_key)
    chunk = max(1, min(settings.max_steps // 100, settings.trial_steps))
    runs, trials, reached, failures = [], [], [], []
    inspection, (args, kwargs) = inspect_model(call), call.arguments(arrays)
    for start_of_run in jax.random.split(start_key, restarts):
        if restarts > 1:
            _forget_start(guide)
        run = _Run(programs, arrays, programs.initialise(start_of_run, arrays))
        if not runs:
            params = programs.svi.get_params(run.progress.state)
            refuse_guide("fit", guide, params, inspection, args, kwargs)
        if restarts == 1:
            runs.append(run)
            break
        steps = max(chunk, settings.trial_steps // chunk * chunk)
        try:
            trial = drive(run.advance, max_steps=steps, chunk=chunk, progress_bar=False)
        except NonFiniteLossError as error:
            failures.append(_locate(run, call, chunk, error))
            continue
        runs.append(run)
        trials.append(trial)
        # A start that was interrupted before its first chunk has no best iterate.
        iterate = programs.unconstrained(run.progress) if run.best is None else run.best
        reached.append(float(np.mean(programs.score(score_key, iterate, arrays))))
        if trial.interrupted:
            break
    if not runs:
        raise failures[0]
    best = int(np.argmin(np.nan_to_num(reached, nan=np.inf))) if reached else 0
    run = runs[best]
    if trials and trials[-1].interrupted:
        log = replace(trials[best], reason=INTERRUPTED, converged=False)
        made = trials
    else:
        log = _finish(run, call, settings, chunk, progress_bar)
        made = [*trials, log]
    params, final_loss, note = _choose(run, score_key)
    notes = [note]
    if failures:
        notes.append(f"{len(failures)} of {restarts} starts diverged; the first: {failures[0]}")
    if reached:
        reached[best] = final_loss
        notes.append(f"the other starts were dropped after {len(trials[0].losses):,} steps")
    particles = getattr(programs.svi.loss, "num_particles", 1)
    compile_seconds = sum(run.compile_seconds for run in runs)
    return params, replace(
        log,
        seconds=sum(part.seconds for part in made) - compile_seconds,
        compile_seconds=compile_seconds,
        gradients=sum(len(part.losses) for part in made) * particles,
        start_losses=tuple(reached),
        notes=tuple(notes),
    )


def _finish(
    run: _Run, call: ModelCall, settings: Stochastic, chunk: int, progress_bar: bool
) -> FitLog:
    """Drive the best start through all phases."""
    step_sizes = [settings.step_size / _REDUCTION**i for i in range(1, settings.phases)]
    share = settings.max_steps // settings.phases

    def rule(losses: np.ndarray) -> str | None:
        # A plateau that is never found must not keep the later phases from their steps.
        if run.programs.own_optimiser and step_sizes and len(losses) >= share:
            return f"{share:,} steps with one step size"
        return settings.rule(losses)

    def next_phase() -> bool:
        if not run.programs.own_optimiser or not step_sizes:
            return False
        run.progress = run.programs.set_step_size(run.progress, step_sizes.pop(0))
        return True

    try:
        return drive(
            run.advance,
            max_steps=settings.max_steps,
            chunk=chunk,
            rule=rule,
            next_phase=next_phase,
            progress_bar=progress_bar,
        )
    except NonFiniteLossError as error:
        raise _locate(run, call, chunk, error) from error


def _choose(run: _Run, rng_key: jax.Array) -> tuple[dict[str, Any], float, str]:
    """The average of the iterates, or the last or best one where that is provably better."""
    iterates = {
        "the average of the iterates": run.progress.average,
        "the last iterate": run.programs.unconstrained(run.progress),
        "the iterate with the lowest loss": run.best,
    }
    losses = {
        name: np.asarray(run.programs.score(rng_key, iterate, run.arrays), np.float64)
        for name, iterate in iterates.items()
        if iterate is not None
    }
    chosen, *others = losses
    for name in others:
        # All see the same draws, so that most of the noise cancels in the difference.
        gain = losses[chosen] - losses[name]
        error = gain.std() / np.sqrt(len(gain))
        if not np.isfinite(losses[chosen]).all() or gain.mean() > 2 * error:
            chosen = name
    params = run.programs.constrain(iterates[chosen])
    loss = float(losses[chosen].mean())
    return params, loss, f"the result is {chosen}, its ELBO {-loss:,.3f} on fresh draws"


def _forget_start(guide: Callable[..., Any]) -> None:
    """Have a guide of the host look at the model again: it keeps the start of its first call."""
    if isinstance(guide, AutoGuideList):
        for part in guide:
            _forget_start(part)
    if isinstance(guide, AutoGuide) and not hasattr(guide, "settings"):
        guide.prototype_trace = None


def _locate(
    run: _Run, call: ModelCall, chunk: int, error: NonFiniteLossError
) -> FloatingPointError:
    """Walk to the step whose loss is not finite and name the site."""
    svi, arrays = run.programs.svi, run.arrays
    progress = run.progress
    for _ in range(error.step % chunk):
        progress, _, _ = run.programs.advance(progress, 1, arrays)
    params = run.programs.constrain(run.programs.unconstrained(progress))
    bad = [
        f"parameter '{name}' is not finite"
        for name, value in params.items()
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(value))
    ]

    # Compiled, for outside of a program the host raises where a parameter is NaN.
    @jax.jit
    def score(rng_key, params, arrays):
        args, kwargs = call.arguments(arrays)
        model_key, guide_key = jax.random.split(rng_key)
        guide = handlers.substitute(handlers.seed(svi.guide, guide_key), data=params)
        guide_trace = handlers.trace(guide).get_trace(*args, **kwargs)
        model = handlers.replay(handlers.seed(svi.model, model_key), guide_trace)
        model = handlers.substitute(model, data=params)
        model_trace = handlers.trace(model).get_trace(*args, **kwargs)
        return score_trace(guide_trace), score_trace(model_trace)

    rng_key = jax.random.split(progress.state.rng_key)[1]
    particles = getattr(svi.loss, "num_particles", 1)
    for particle_key in jax.random.split(rng_key, particles) if particles > 1 else [rng_key]:
        for what, log_probs in zip(
            ("guide", "model"), score(particle_key, params, arrays), strict=True
        ):
            bad += [
                f"{what} site '{name}' has log density {float(np.sum(log_prob))}"
                for name, log_prob in log_probs.items()
                if not np.isfinite(log_prob).all()
            ]
        if bad:
            break
    where = "; ".join(bad) or "no single site is to blame"
    return FloatingPointError(
        f"fit: the loss is {error.loss} at step {error.step}: {where}. Expected a finite loss. "
        "Lower the step size: fit(..., optimizer=Stochastic(step_size=0.003)), start elsewhere, "
        "or check the supports of the site."
    )
