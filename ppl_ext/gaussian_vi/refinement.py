"""From several starts on few draws to one Gaussian on enough of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ppl_ext.fitting.fit_log import INTERRUPTED, FitLog
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi.objective import CountedDensity, GaussianState
from ppl_ext.gaussian_vi.solution import GaussianSolution
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal, round_up

__all__ = ["refine"]

_Climb = Callable[..., GaussianState]
_MOST_FLOATS = 2**25  # numbers in the fixed draws, 256 MB
# Every start has this many iterations to come within so many nats of the best.
_TRIAL_ITERATIONS, _TRAILING = 5, 5.0
_GROWTH = 4  # each objective has at most so many times the draws of the one before


def refine(
    ascend: _Climb,
    starts: Sequence[tuple[np.ndarray, np.ndarray]],
    half: np.ndarray,
    counted: CountedDensity,
    optimizer: Deterministic,
    rng: np.random.Generator,
    began: float,
) -> GaussianSolution:
    """Drop the starts that trail, then add draws until the finite sample no longer matters.

    Ctrl-C ends the climb and keeps the best Gaussian of the climbs completed before.

    Args:
        ascend: ``(loc, scale, half, optimizer, may_add_draws=...) -> state``, the climb on one
            objective.
        starts: Means and scales to start from.
        half: Draws of the first objective, ``[pair, dim]``.
        counted: The log density, for its count of gradients.
        optimizer: Tolerances and limits.
        rng: Source of the draws of further objectives.
        began: When the fit began, by ``time.perf_counter``.

    Returns:
        The best Gaussian and the log of the run.
    """
    pairs, dim = half.shape
    trials: list[GaussianState] = []
    finished: list[GaussianState] = []
    elbos: list[float] = []
    reason = ""
    short = replace(optimizer, max_steps=_TRIAL_ITERATIONS)
    try:
        for loc, scale in starts:
            trials.append(ascend(loc, scale, half, short, may_add_draws=True))
        trials.sort(key=_elbo_of, reverse=True)
        leader = trials[0]
        rivals = [trial for trial in trials[1:] if _is_rival(trial, leader)]
        for trial in (leader, *rivals):
            finished.append(_finish(ascend, trial, half, optimizer))
        state = max([*trials, *finished], key=_elbo_of)
        elbos.extend(state.elbos)
        most = max(pairs, min(optimizer.max_draws // 2, _MOST_FLOATS // dim))
        while state.average.mean_error > optimizer.error_tolerance and pairs < most:
            efficiency = _measure_efficiency(counted, state, half, optimizer)
            if efficiency < optimizer.min_efficiency:
                reason = (
                    f"no Gaussian comes near: {2 * pairs:,} draws weigh like "
                    f"{2 * pairs * efficiency:,.0f}"
                )
                break
            needed = pairs * (state.average.mean_error / optimizer.error_tolerance) ** 2
            wanted = min(_GROWTH * pairs, max(2 * pairs, int(needed)))
            more = min(most, round_up(wanted))
            half = draw_standard_normal(more, dim, rng)
            state = ascend(state.loc, state.scale, half, optimizer, may_add_draws=more < most)
            pairs = more
            elbos.extend(state.elbos)
    except KeyboardInterrupt:
        if not trials:
            raise
        reason = INTERRUPTED
        if not elbos:
            state = max([*trials, *finished], key=_elbo_of)
            elbos.extend(state.elbos)
    average = state.average
    solved = average.predicted_kl < optimizer.kl_tolerance
    converged = solved and average.mean_error <= optimizer.error_tolerance and not reason
    reason = reason or (
        f"{'converged' if converged else 'stopped'} ({average.predicted_kl:.1g} nats from the "
        f"optimum on {2 * pairs:,} draws, which leave an error of {average.mean_error:.2g} sd in "
        "the mean)"
    )
    return GaussianSolution(
        loc=state.loc,
        scale=state.scale,
        elbo=average.elbo,
        predicted_kl=average.predicted_kl,
        mean_error=average.mean_error,
        num_draws=2 * pairs,
        converged=converged,
        log=FitLog(
            losses=-np.array(elbos),
            reason=reason,
            converged=converged,
            seconds=time.perf_counter() - began,
            gradients=counted.gradients,
            start_losses=tuple(-trial.average.elbo for trial in trials),
            dropped_starts=len(trials) - len(finished) if finished else 0,
        ),
    )


def _measure_efficiency(
    counted: CountedDensity, state: GaussianState, half: np.ndarray, optimizer: Deterministic
) -> float:
    """Effective share of the importance weights of the draws; 1 where nobody asks."""
    if not optimizer.min_efficiency:
        return 1.0
    scaled = half * state.scale if state.scale.ndim == 1 else half @ state.scale.T
    log_p = np.concatenate([counted(state.loc + scaled)[0], counted(state.loc - scaled)[0]])
    log_weights = np.nan_to_num(log_p + 0.5 * np.tile((half**2).sum(1), 2), nan=-np.inf)
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))


def _elbo_of(state: GaussianState) -> float:
    return state.average.elbo


def _finish(
    ascend: _Climb, state: GaussianState, half: np.ndarray, optimizer: Deterministic
) -> GaussianState:
    """Go on from a trial until these draws are exhausted."""
    if state.average.is_solved(optimizer, may_add_draws=True):
        return state
    end = ascend(state.loc, state.scale, half, optimizer, may_add_draws=True)
    return replace(end, elbos=state.elbos + end.elbos)


def _is_rival(state: GaussianState, leader: GaussianState) -> bool:
    """Whether a trial is close behind the best and yet somewhere else."""
    spread = leader.scale if leader.scale.ndim == 1 else np.sqrt((leader.scale**2).sum(1))
    elsewhere = bool(np.any(np.abs(state.loc - leader.loc) > spread))
    return elsewhere and state.average.elbo > leader.average.elbo - _TRAILING
