"""A stochastic fit: starts, phases, the choice of the result, and what went wrong."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ppl_ext.fitting.loop import INTERRUPTED, FitLog, NonFiniteLossError, drive
from ppl_ext.fitting.settings import Stochastic
from ppl_ext.pyro.fitting.svi_run import Run
from ppl_ext.pyro.tracing.batching import model_scope
from ppl_ext.pyro.tracing.init_points import FirstStart, begin_run
from ppl_ext.pyro.tracing.isolation import own_param_store, own_random_state

__all__ = ["descend"]

# At the end of the last phase the step size is the first one over this to the number of phases.
_REDUCTION = 5.0
_EVALUATIONS = 128


def descend(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple,
    kwargs: Mapping[str, Any],
    settings: Stochastic,
    restarts: int,
    seed: int,
    progress_bar: bool,
) -> tuple[dict, FitLog]:
    """Fits a guide by stochastic gradients.

    Args:
        model: The model.
        guide: The guide; it is left with the fitted parameters.
        args: Their positional arguments.
        kwargs: Their keyword arguments.
        settings: Optimiser, steps and rule.
        restarts: Number of starts.
        seed: Seed of starts and gradients.
        progress_bar: Whether to draw a bar.

    Returns:
        The state of the parameter store with the fitted parameters, and the log.

    Raises:
        FloatingPointError: The loss of every start became NaN or infinite; the message names the
            step and the site.
    """
    chunk = max(1, min(settings.max_steps // 100, settings.trial_steps))
    runs: list[Run] = []
    trials: list[FitLog] = []
    failures: list[FloatingPointError] = []
    first: FirstStart = {}
    interrupted = False
    for start in range(restarts):
        with model_scope(), own_random_state(seed + start), own_param_store() as store:
            try:
                run = begin_run(model, guide, args, kwargs, settings, store, first)
            except KeyboardInterrupt:
                if not runs:
                    raise
                interrupted = True
                break
            if restarts == 1:
                runs.append(run)
                break
            steps = max(chunk, settings.trial_steps // chunk * chunk)
            try:
                trial = drive(run.advance, max_steps=steps, chunk=chunk, progress_bar=False)
            except NonFiniteLossError as error:
                failures.append(_name_site(error, run))
                continue
            run.keep()
        runs.append(run)
        trials.append(trial)
        interrupted = trial.interrupted
        if interrupted:
            break
    if not runs:
        raise failures[0]
    # A start that was interrupted before its first chunk has no loss.
    finals = np.nan_to_num([trial.final_loss for trial in trials], nan=np.inf)
    best = int(np.argmin(finals)) if trials else 0
    run = runs[best]
    with model_scope(), own_random_state(seed + restarts), own_param_store(run.store):
        if trials:
            run.resume()
        if interrupted:
            log = replace(trials[best], reason=INTERRUPTED, converged=False)
            made = trials
        else:
            log = _finish(run, settings, chunk, progress_bar)
            made = [*trials, log]
        notes = [_choose(run, seed)]
        run.look()  # modules take over what the parameter store holds
    if failures:
        notes.append(f"{len(failures)} of {restarts} starts diverged; the first: {failures[0]}")
    losses = [trial.final_loss for trial in trials]
    if losses:
        losses[best] = log.final_loss
        notes.append(f"the other starts were dropped after {len(trials[0].losses):,} steps")
    return run.store, replace(
        log,
        seconds=sum(part.seconds for part in made),
        gradients=sum(len(part.losses) for part in made) * run.num_particles,
        start_losses=tuple(losses),
        notes=tuple(notes),
    )


def _finish(run: Run, settings: Stochastic, chunk: int, progress_bar: bool) -> FitLog:
    """Drives the best start through all phases."""
    step_sizes = [settings.step_size / _REDUCTION**i for i in range(1, settings.phases)]

    def next_phase() -> bool:
        if settings.optim is not None or not step_sizes:
            return False
        run.set_step_size(step_sizes.pop(0))
        return True

    try:
        return drive(
            run.advance,
            max_steps=settings.max_steps,
            chunk=chunk,
            rule=settings.rule,
            next_phase=next_phase,
            progress_bar=progress_bar,
        )
    except NonFiniteLossError as error:
        raise _name_site(error, run) from error


def _choose(run: Run, seed: int) -> str:
    """Leaves the best of the averaged, the last and the best iterate, by the same draws."""
    candidates = {
        "the average of the iterates": run.average,
        "the last iterate": run.snapshot(),
        "the iterate with the lowest loss": run.best,
    }
    scores = {}
    for name, candidate in candidates.items():
        if candidate is not None:
            run.restore(candidate)
            with own_random_state(seed), torch.no_grad():
                scores[name] = run.score(_EVALUATIONS)
    name = min(scores, key=lambda name: scores[name] if np.isfinite(scores[name]) else np.inf)
    run.restore(candidates[name])
    return f"the result is {name}, its ELBO {-scores[name]:,.3f} on fresh draws"


def _name_site(error: NonFiniteLossError, run: Run) -> FloatingPointError:
    return FloatingPointError(
        f"fit: the loss is {error.loss} at step {error.step}: {run.blame}. Expected a finite "
        "loss. Lower the step size: fit(..., optimizer=Stochastic(step_size=0.003)), start "
        "elsewhere, or check the supports of the site."
    )
