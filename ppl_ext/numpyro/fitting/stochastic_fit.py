"""The road through the host's SVI: starts, phases, and the choice of the result."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
from numpyro.infer.autoguide import AutoGuide, AutoGuideList

from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.fitting.iterates import Starts, choose_iterate
from ppl_ext.fitting.loop import NonFiniteLossError, drive
from ppl_ext.fitting.settings import Stochastic
from ppl_ext.fitting.stopping import cap_phases
from ppl_ext.numpyro.fitting.blame import blame_site
from ppl_ext.numpyro.fitting.compiled_svi import SVIRun, compile_svi
from ppl_ext.numpyro.guides.guide_call import call_guide
from ppl_ext.numpyro.guides.unconstrained import AbstractUnconstrainedGuide
from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.refusals import refuse_guide

__all__ = ["fit_stochastic"]

# From one phase to the next the step size is divided by this.
_REDUCTION = 5.0


def fit_stochastic(
    rng_key: jax.Array,
    bound: BoundModel,
    guide: Callable[..., Any],
    settings: Stochastic,
    num_starts: int,
    progress_bar: bool,
) -> tuple[dict[str, Any], FitLog]:
    """Fit a guide by stochastic gradients.

    Args:
        rng_key: Random key.
        bound: The model.
        guide: The guide.
        settings: Optimiser, steps and rule.
        num_starts: Number of starts.
        progress_bar: Whether to draw a bar.

    Returns:
        The parameters and the log.

    Raises:
        FloatingPointError: The loss of every start became NaN or infinite; the message names the
            step and the site.
    """
    compiled = compile_svi(call_guide(bound, guide), settings)
    start_key, score_key = jax.random.split(rng_key)
    chunk = max(1, min(settings.max_steps // 100, settings.trial_steps))
    runs: list[SVIRun] = []
    starts = Starts(num_starts)
    for index, key in enumerate(jax.random.split(start_key, num_starts), 1):
        if num_starts > 1:
            _forget_start(guide)
        run = SVIRun(compiled, bound.arrays, compiled.initialise(key, bound.arrays))
        if not runs:
            refuse_guide(bound, guide, compiled.constrain(compiled.unconstrained(run.progress)))
        if num_starts > 1:
            try:
                which = f"start {index} of {num_starts}"
                _try_start(run, settings, chunk, score_key, starts, progress_bar, which)
            except NonFiniteLossError as error:
                starts.failures.append(blame_site(run, chunk, error))
                continue
        runs.append(run)
        if starts.interrupted:
            break
    if not runs:
        raise starts.failures[0]
    run = runs[starts.best]
    log = None if starts.interrupted else _finish(run, settings, chunk, progress_bar)
    params, loss, note = _choose(run, score_key)
    log = starts.summarise(log, loss, note, compiled.num_particles)
    compile_seconds = sum(run.compile_seconds for run in runs)
    return params, replace(
        log, seconds=log.seconds - compile_seconds, compile_seconds=compile_seconds
    )


def _try_start(
    run: SVIRun,
    settings: Stochastic,
    chunk: int,
    rng_key: jax.Array,
    starts: Starts,
    progress_bar: bool,
    which: str,
) -> None:
    steps = max(chunk, settings.trial_steps // chunk * chunk)
    trial = drive(
        run.advance, max_steps=steps, chunk=chunk, progress_bar=progress_bar, describe=which
    )
    # A start that was interrupted before its first chunk has no best iterate.
    iterate = run.compiled.unconstrained(run.progress) if run.best is None else run.best
    starts.add(trial, float(run.score(rng_key, iterate).mean()))


def _finish(run: SVIRun, settings: Stochastic, chunk: int, progress_bar: bool) -> FitLog:
    """Drive the best start through all phases."""
    step_sizes = [settings.step_size / _REDUCTION**i for i in range(1, settings.phases)]
    share = settings.max_steps // settings.phases

    def more() -> bool:
        return run.compiled.own_optimiser and bool(step_sizes)

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
        raise blame_site(run, chunk, error) from error


def _choose(run: SVIRun, rng_key: jax.Array) -> tuple[dict[str, Any], float, str]:
    """The average of the iterates, or the last or best one where that is provably better."""
    iterates = {
        "the average of the iterates": run.progress.average,
        "the last iterate": run.compiled.unconstrained(run.progress),
        "the iterate with the lowest loss": run.best,
    }
    losses = {
        name: run.score(rng_key, iterate)
        for name, iterate in iterates.items()
        if iterate is not None
    }
    chosen, loss, note = choose_iterate(losses)
    return run.compiled.constrain(iterates[chosen]), loss, note


def _forget_start(guide: Callable[..., Any]) -> None:
    """Have a guide of the host look at the model again: it keeps the start of its first call."""
    if isinstance(guide, AutoGuideList):
        for part in guide:
            _forget_start(part)
    if isinstance(guide, AutoGuide) and not isinstance(guide, AbstractUnconstrainedGuide):
        guide.prototype_trace = None
