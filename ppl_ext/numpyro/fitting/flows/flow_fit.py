"""The road of a flow: a Gaussian, draws of the posterior, and gradients of the bound."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from scipy.linalg import solve_triangular

from ppl_ext.correction import Corrected, Correction, correct
from ppl_ext.density import Density
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.fitting.iterates import choose_iterate
from ppl_ext.fitting.loop import NonFiniteLossError, drive
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.fitting.stopping import Plateau
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
from ppl_ext.numpyro.tracing.rng_keys import seed_from

__all__ = ["fit_flow"]

# The draws have to show where the posterior is; they need not be good to the last digit.
_ENOUGH = Correction(ess=2000, max_gradients=1_000_000)
_LOOK = 25  # steps between two looks at the losses
_MOST_LIKELIHOOD_STEPS, _MOST_BOUND_STEPS = 400, 800
_MOST_LARGE_STEPS = 400  # of the bound, before smaller ones are averaged
_LIKELIHOOD_STEP, _BOUND_STEP = 1e-2, 2e-2
_RULE = Plateau(min_steps=200)
_GAIN, _PATIENCE = 0.002, 3  # nats by which held-out draws are more likely; looks without that
_PAIRS = 2048  # draws on which the stages are compared, times two


@dataclass
class _HeldOut:
    """Held-out draws, which say when others have been learned enough."""

    training: Training
    draws: np.ndarray
    flow: Any
    best: Any
    least: float = math.inf
    looks: int = 0
    slower: bool = field(default=False)

    def rule(self, _: np.ndarray) -> str | None:
        average = self.training.progress.average
        loss = -float(compile_score(self.flow)(average, self.draws))
        self.looks += 1
        if loss < self.least - _GAIN:
            self.least, self.best, self.looks = loss, average, 0
        return "held-out draws are no longer more likely" if self.looks >= _PATIENCE else None

    def next_phase(self) -> bool:
        if self.slower:
            return False
        self.slower, self.looks = True, 0
        self.training.slow_down(4.0, self.best)
        return True


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
    seed = int(seed_from(rng_key).generate_state(1)[0])
    solution = solve_full_rank(density, settings, seed=seed, progress_bar=progress_bar)
    params = guide.set_gaussian(solution.loc, solution.scale)
    name = f"{guide.prefix}_flow"
    weights = jax.tree.map(np.asarray, params[name])
    parts, notes, log = [solution.log], [], solution.log
    stages = {"the Gaussian": weights}
    if not log.interrupted and density.batched:
        corrected = correct(density, solution, _ENOUGH, seed=seed, progress_bar=progress_bar)
        notes.append(_describe(corrected))
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
    chosen, _, note = choose_iterate(losses)
    notes.append(note)
    notes += [
        f"{stage} has {-loss.mean():,.3f} on the same draws"
        for stage, loss in losses.items()
        if stage != chosen and np.isfinite(loss).all()
    ]
    return {**params, name: stages[chosen]}, replace(
        log,
        seconds=sum(part.seconds for part in parts),
        gradients=sum(part.gradients for part in parts),
        notes=tuple(notes),
    )


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
    held_out = _HeldOut(training, draws[:share], guide.flow, weights)
    try:
        log = drive(
            training.advance,
            max_steps=_MOST_LIKELIHOOD_STEPS,
            rule=held_out.rule,
            chunk=_LOOK,
            next_phase=held_out.next_phase,
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
    slower = [False]

    def rule(losses: np.ndarray) -> str | None:
        # Losses that never rest must not keep the average from its steps.
        if not slower[0] and len(losses) >= _MOST_LARGE_STEPS:
            return f"{_MOST_LARGE_STEPS} steps with one step size"
        return _RULE(losses)

    def next_phase() -> bool:
        if slower[0]:
            return False
        slower[0] = True
        training.slow_down(5.0, training.progress.weights)
        return True

    try:
        log = drive(
            training.advance,
            max_steps=_MOST_BOUND_STEPS,
            rule=rule,
            chunk=_LOOK,
            next_phase=next_phase,
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


def _describe(corrected: Corrected) -> str:
    return (
        f"draws of the posterior: {corrected.verdict}, log evidence {corrected.evidence:,.3f} +- "
        f"{corrected.evidence_error:.3f}"
    )
