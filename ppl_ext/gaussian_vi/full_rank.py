"""Natural-gradient ascent of a full-rank Gaussian on fixed draws."""

import numpy as np

from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi.objective import (
    CountedDensity,
    GaussianAverage,
    GaussianState,
    average_full_rank,
)
from ppl_ext.gaussian_vi.starts import triangular_root

__all__ = ["ascend_full_rank"]

_BACKTRACKS = 12
# One step may multiply a precision by this at most (and divide it by hardly less, see _propose)
# and move the mean by so many standard deviations per square root of the dimension: the quadratic
# model is local.
_MOST_PRECISION, _LONGEST_MOVE = 25.0, 3.0


def ascend_full_rank(
    density: CountedDensity,
    loc: np.ndarray,
    scale_tril: np.ndarray,
    half: np.ndarray,
    optimizer: Deterministic,
    *,
    precision: np.dtype,
    may_add_draws: bool,
) -> GaussianState:
    """Climb the sample-average ELBO by natural gradients with a line search.

    In the frame of the current Gaussian a step of length ``rho`` multiplies the precision by
    ``I - rho S`` and moves the mean by ``rho (I - rho S)^-1 a``, with whitened gradients ``a`` in
    the mean and ``S`` in the covariance: Newton's step with the expected Hessian, exact in one
    for a Gaussian density.

    Args:
        density: The log density.
        loc: Mean to start from, ``[dim]``.
        scale_tril: Cholesky factor to start from, ``[dim, dim]``.
        half: Standard normal draws, ``[pair, dim]``; their negatives are used too.
        optimizer: Tolerances and limits.
        precision: Floating-point type in which the density runs.
        may_add_draws: Whether a larger objective can follow; this one then ends as soon as its
            own error is below that of its draws.

    Returns:
        The Gaussian reached, with the averages there.
    """
    average = average_full_rank(density, loc, scale_tril, half)
    for _ in range(_BACKTRACKS):
        if np.isfinite(average.elbo):
            break
        scale_tril = 0.5 * scale_tril
        average = average_full_rank(density, loc, scale_tril, half)
    elbos = [average.elbo]
    step = 1.0
    while np.isfinite(average.elbo) and len(elbos) <= optimizer.max_steps:
        if average.is_solved(optimizer, may_add_draws):
            break
        values, vectors = np.linalg.eigh(average.excess)
        # Sums of rounded log densities cannot tell smaller rises apart.
        noise = 4 * np.finfo(precision).eps * abs(average.elbo)
        for _ in range(_BACKTRACKS):
            move, growth = _propose(average, values, vectors, step)
            trial_loc = loc + scale_tril @ move
            trial_scale = triangular_root(scale_tril @ (vectors / np.sqrt(growth)) @ vectors.T)
            trial = average_full_rank(density, trial_loc, trial_scale, half)
            rise = trial.elbo - average.elbo
            if rise > noise or (rise > -noise and trial.predicted_kl < average.predicted_kl):
                break
            step *= 0.5
        else:
            break
        # A step that rises and yet ends farther from the optimum has gone across the valley.
        across = trial.predicted_kl > average.predicted_kl
        loc, scale_tril, average = trial_loc, trial_scale, trial
        elbos.append(average.elbo)
        step = 0.5 * step if across else min(1.0, 2 * step)
    return GaussianState(loc, scale_tril, average, tuple(elbos))


def _propose(
    average: GaussianAverage, values: np.ndarray, vectors: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """The move of the mean in the whitened frame and the factor of each precision there."""
    growth = 1 - step * values
    # Below a fifth the precision shrinks ever less, to a 22nd, instead of changing its sign.
    growth = np.where(growth < 0.2, 0.2 * np.exp(np.clip(growth - 0.2, -1.5, 0)), growth)
    growth = np.minimum(growth, _MOST_PRECISION)
    move = vectors @ ((vectors.T @ (step * average.slope)) / growth)
    longest = _LONGEST_MOVE * np.sqrt(len(move))
    with np.errstate(over="ignore"):
        move = move * min(1.0, longest / max(float(np.sqrt(np.sum(move**2))), 1e-300))
    return move, growth
