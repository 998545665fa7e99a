"""The road of a flow: a Gaussian, draws of the posterior, and gradients of the bound."""

import math
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from scipy.linalg import solve_triangular

from ppl_ext.correction import Corrected, Correction, correct
from ppl_ext.density import Density
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.fitting.held_out import HeldOut
from ppl_ext.fitting.iterates import conclude_stages
from ppl_ext.fitting.loop import NonFiniteLossError, drive
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.fitting.stopping import Plateau, cap_phases
from ppl_ext.gaussian_vi import GaussianSolution, solve_full_rank
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal
from ppl_ext.numpyro.fitting.flows.flow_training import (
    BATCH,
    Training,
    begin,
    compile_bound,
    compile_likelihood,
    compile_push,
    compile_score,
)
from ppl_ext.numpyro.guides.flow import AutoFlow
from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.rng_keys import whole_seed_from

__all__ = ["fit_flow"]

# The draws have to show where the posterior is; they need not be good to the last digit.
_ENOUGH = Correction(ess=2000, max_gradients=1_000_000)
_LOOK = 25  # steps between two looks at the losses
_MOST_LIKELIHOOD_STEPS, _MOST_BOUND_STEPS = 400, 800
_MOST_LARGE_STEPS = 400  # of the bound, before smaller ones are averaged
_LIKELIHOOD_STEP, _BOUND_STEP = 1e-2, 2e-2
_RULE = Plateau(min_steps=200)
_PAIRS = 2048  # draws on which the stages are compared, times two


def fit_flow(
    rng_key: jax.Array,
    bound: BoundModel,
    density: Density,
    guide: AutoFlow,
    settings: Deterministic,
    progress_bar: bool,
) -> tuple[dict[str, Any], FitLog]:
    """Fit a flow in stages, each from where the one before it ended, and keep the best of them.

    Args:
        rng_key: Random key.
        bound: The model.
        density: Its log density.
        guide: The guide.
        settings: Those of the Gaussian that becomes the frame.
        progress_bar: Whether to draw bars.

    Returns:
        The parameters, and the log: the losses are those of the last stage, the notes tell of
        all.
    """
    seed = whole_seed_from(rng_key)
    solution = solve_full_rank(density, settings, seed=seed, progress_bar=progress_bar)
    params = guide.set_gaussian(solution.loc, solution.scale)
    name = f"{guide.prefix}_flow"
    weights = jax.tree.map(np.asarray, params[name])
    parts, notes, log = [solution.log], [], solution.log
    stages = {"the Gaussian": weights}
    if not log.interrupted and density.batched:
        corrected = correct(density, solution, _ENOUGH, seed=seed, progress_bar=progress_bar)
        notes.append(corrected.summary)
        log, weights = _learn(rng_key, guide, weights, solution, corrected, progress_bar)
        log = replace(
            log,
            seconds=log.seconds + corrected.log.seconds,
            gradients=corrected.log.gradients,
        )
        parts.append(log)
        stages["the flow of the draws"] = weights
    if not log.interrupted:
        log, weights = _climb(rng_key, bound, guide, weights, solution, progress_bar)
        parts.append(log)
        stages["the flow of the bound"] = weights
    losses = {stage: _score(guide, density, solution, stages[stage]) for stage in reversed(stages)}
    chosen, log = conclude_stages(losses, parts, notes)
    return {**params, name: stages[chosen]}, log


def _learn(
    rng_key: jax.Array,
    guide: AutoFlow,
    weights: Any,
    solution: GaussianSolution,
    corrected: Corrected,
    progress_bar: bool,
) -> tuple[FitLog, Any]:
    """Train the flow by the likelihood of corrected draws, those of one island held out."""
    frame = solution.scale_tril
    draws = solve_triangular(frame, (corrected.z - solution.loc).T, lower=True).T
    draws = draws.astype(jax.tree.leaves(weights)[0].dtype)
    share = len(draws) // corrected.draws.chains
    training = Training(
        compile_likelihood(guide.flow),
        (draws[share:],),
        jax.random.fold_in(rng_key, 1),
        begin(weights),
        _LIKELIHOOD_STEP,
    )
    score = compile_score(guide.flow)

    def look() -> tuple[float, Any]:
        average = training.progress.average
        return -float(score(average, draws[:share])), average

    held_out = HeldOut(look, weights)
    try:
        log = drive(
            training.advance,
            max_steps=_MOST_LIKELIHOOD_STEPS,
            rule=held_out,
            chunk=_LOOK,
            next_phase=lambda: training.slow_down(4.0, held_out.best),
            gradients_per_step=0,
            progress_bar=progress_bar,
            describe="draws",
        )
    except NonFiniteLossError as error:
        log = error.log
    return log, held_out.best


def _climb(
    rng_key: jax.Array,
    bound: BoundModel,
    guide: AutoFlow,
    weights: Any,
    solution: GaussianSolution,
    progress_bar: bool,
) -> tuple[FitLog, Any]:
    """Train the flow by the evidence lower bound, which knows what the draws do not."""
    dtype = jax.tree.leaves(weights)[0].dtype
    frame = solution.loc.astype(dtype), solution.scale_tril.astype(dtype)
    training = Training(
        compile_bound(guide.flow, bound.call),
        (*frame, bound.arrays),
        jax.random.fold_in(rng_key, 2),
        begin(weights),
        _BOUND_STEP,
    )
    try:
        log = drive(
            training.advance,
            max_steps=_MOST_BOUND_STEPS,
            rule=cap_phases(_RULE, _MOST_LARGE_STEPS, lambda: not training.slower),
            chunk=_LOOK,
            next_phase=lambda: training.slow_down(5.0, training.progress.weights),
            gradients_per_step=BATCH,
            progress_bar=progress_bar,
            describe="bound",
        )
    except NonFiniteLossError as error:
        log = error.log
    return log, training.progress.average


def _score(
    guide: AutoFlow, density: Density, solution: GaussianSolution, weights: Any
) -> np.ndarray:
    """Losses of a stage on draws that are the same for all, ``losses[draw]``."""
    half = draw_standard_normal(_PAIRS, guide.dim, seed=1)
    dtype = jax.tree.leaves(weights)[0].dtype
    e = np.concatenate([half, -half]).astype(dtype)
    u, log_slope = (np.asarray(part, float) for part in compile_push(guide.flow)(weights, e))
    log_q = -0.5 * (e.astype(float) ** 2).sum(-1) - 0.5 * guide.dim * math.log(2 * math.pi)
    log_q -= log_slope + np.log(np.diagonal(solution.scale_tril)).sum()
    return log_q - density.log_p(solution.loc + u @ solution.scale_tril.T)
