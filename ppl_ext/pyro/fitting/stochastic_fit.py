"""The road through the host's SVI: starts, phases, and the choice of the result."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.fitting.iterates import Starts, choose_iterate
from ppl_ext.fitting.loop import NonFiniteLossError, drive
from ppl_ext.fitting.settings import Stochastic
from ppl_ext.fitting.stopping import cap_phases
from ppl_ext.pyro.fitting.init_points import FirstStart, begin_run
from ppl_ext.pyro.fitting.svi_run import SVIRun
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.isolation import model_scope, own_param_store, own_random_state

__all__ = ["fit_stochastic"]

# From one phase to the next the step size is divided by this.
_REDUCTION = 5.0
_EVALUATIONS = 128


def fit_stochastic(
    bound: BoundModel,
    guide: Callable[..., Any],
    settings: Stochastic,
    num_starts: int,
    seed: int,
    progress_bar: bool,
) -> tuple[dict, FitLog]:
    """Fit a guide by stochastic gradients.

    Args:
        bound: The model.
        guide: The guide; it is left with the fitted parameters.
        settings: Optimiser, steps and rule.
        num_starts: Number of starts.
        seed: Seed of starts and gradients.
        progress_bar: Whether to draw a bar.

    Returns:
        The state of the parameter store with the fitted parameters, and the log.

    Raises:
        FloatingPointError: The loss of every start became NaN or infinite; the message names the
            step and the site.
    """
    chunk = max(1, min(settings.max_steps // 100, settings.trial_steps))
    runs: list[SVIRun] = []
    starts = Starts(num_starts)
    first: FirstStart = {}
    interrupted = False
    for start in range(num_starts):
        with model_scope(), own_random_state(seed + start), own_param_store() as store:
            try:
                run = begin_run(bound, guide, settings, store, first)
            except KeyboardInterrupt:
                if not runs:
                    raise
                interrupted = True
                break
            if num_starts > 1:
                try:
                    which = f"start {start + 1} of {num_starts}"
                    _try_start(run, settings, chunk, starts, progress_bar, which)
                except NonFiniteLossError as error:
                    starts.failures.append(_name_site(error, run))
                    continue
            runs.append(run)
        interrupted = starts.interrupted
        if interrupted:
            break
    if not runs:
        raise starts.failures[0]
    run = runs[starts.best]
    with model_scope(), own_random_state(seed + num_starts), own_param_store(run.store):
        if num_starts > 1:
            run.resume()
        log = None if interrupted else _finish(run, settings, chunk, progress_bar)
        loss, note = _choose(run, seed)
        run.look()  # modules take over what the parameter store holds
    return run.store, starts.summarise(log, loss, note, run.num_particles)


def _try_start(
    run: SVIRun, settings: Stochastic, chunk: int, starts: Starts, progress_bar: bool, which: str
) -> None:
    steps = max(chunk, settings.trial_steps // chunk * chunk)
    trial = drive(
        run.advance, max_steps=steps, chunk=chunk, progress_bar=progress_bar, describe=which
    )
    run.keep()
    starts.add(trial, trial.final_loss)


def _finish(run: SVIRun, settings: Stochastic, chunk: int, progress_bar: bool) -> FitLog:
    """Drive the best start through all phases."""
    own_optimiser = settings.optim is None
    step_sizes = [settings.step_size / _REDUCTION**i for i in range(1, settings.phases)]
    share = settings.max_steps // settings.phases

    def more() -> bool:
        return own_optimiser and bool(step_sizes)

    def next_phase() -> bool:
        if not more():
            return False
        run.set_step_size(step_sizes.pop(0))
        return True

    try:
        return drive(
            run.advance,
            max_steps=settings.max_steps,
            chunk=chunk,
            rule=cap_phases(settings.rule, share, more),
            next_phase=next_phase,
            progress_bar=progress_bar,
        )
    except NonFiniteLossError as error:
        raise _name_site(error, run) from error


def _choose(run: SVIRun, seed: int) -> tuple[float, str]:
    """Leave the average of the iterates, or the last or best one where that is provably better."""
    iterates = {
        "the average of the iterates": run.average,
        "the last iterate": run.snapshot(),
        "the iterate with the lowest loss": run.best,
    }
    losses: dict[str, np.ndarray] = {}
    for name, iterate in iterates.items():
        if iterate is not None:
            run.restore(iterate)
            with own_random_state(seed), torch.no_grad():
                losses[name] = run.score(_EVALUATIONS)
    chosen, loss, note = choose_iterate(losses)
    run.restore(iterates[chosen])
    return loss, note


def _name_site(error: NonFiniteLossError, run: SVIRun) -> FloatingPointError:
    return FloatingPointError(
        f"fit: the loss is {error.loss} at step {error.step}: {run.blame}. Expected a finite "
        "loss. Lower the step size: fit(..., optimizer=Stochastic(step_size=0.003)), start "
        "elsewhere, or check the supports of the site."
    )
