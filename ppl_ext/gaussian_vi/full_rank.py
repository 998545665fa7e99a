"""Natural-gradient ascent of a full-rank Gaussian on fixed draws."""

import numpy as np

from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi.objective import (
    CountedDensity,
    GaussianState,
    average_full_rank,
)
from ppl_ext.gaussian_vi.secants import Secants
from ppl_ext.gaussian_vi.starts import triangular_root

__all__ = ["ascend_full_rank"]

_BACKTRACKS = 12
# One step may multiply a precision by this at most (and divide it by hardly less, see _propose)
# and move the mean by so many standard deviations per square root of the dimension: the quadratic
# model is local.
_MOST_PRECISION, _LONGEST_MOVE = 25.0, 3.0
_NEAR = 0.1  # nats from the optimum at which past steps begin to speed up the next


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
    for a Gaussian density. Near the optimum `Secants` corrects ``a`` and ``S``.

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
    step, secants = 1.0, Secants(loc, scale_tril)
    while np.isfinite(average.elbo) and len(elbos) <= optimizer.max_steps:
        if average.is_solved(optimizer, may_add_draws):
            break
        slope, excess = average.slope, average.excess
        if average.predicted_kl < _NEAR:
            slope, excess = secants.correct(loc, scale_tril, average)
        values, vectors = np.linalg.eigh(excess)
        # Sums of rounded log densities cannot tell smaller rises apart.
        noise = 4 * np.finfo(precision).eps * abs(average.elbo)
        for _ in range(_BACKTRACKS):
            move, growth = _propose(slope, values, vectors, step)
            trial_loc = loc + scale_tril @ move
            trial_scale = triangular_root(scale_tril @ (vectors / np.sqrt(growth)) @ vectors.T)
            trial = average_full_rank(density, trial_loc, trial_scale, half)
            rise = trial.elbo - average.elbo
            closer = trial.predicted_kl < average.predicted_kl
            plain = excess is average.excess
            if (rise > noise and plain) or (rise > -noise and closer):
                break
            if plain:
                step *= 0.5
            else:
                secants.forget()
                slope, excess = average.slope, average.excess
                values, vectors = np.linalg.eigh(excess)
        else:
            break
        loc, scale_tril, average = trial_loc, trial_scale, trial
        elbos.append(average.elbo)
        if closer:
            step = min(1.0, 2 * step)
        else:
            # It rose and yet ended farther from the optimum: it has gone across the valley.
            secants.forget()
            step *= 0.5
    return GaussianState(loc, scale_tril, average, tuple(elbos))


def _propose(
    slope: np.ndarray, values: np.ndarray, vectors: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """The move of the mean in the whitened frame and the factor of each precision there."""
    growth = 1 - step * values
    # Below a fifth the precision shrinks ever less, to a 22nd, instead of changing its sign.
    growth = np.where(growth < 0.2, 0.2 * np.exp(np.clip(growth - 0.2, -1.5, 0)), growth)
    growth = np.minimum(growth, _MOST_PRECISION)
    move = vectors @ ((vectors.T @ (step * slope)) / growth)
    longest = _LONGEST_MOVE * np.sqrt(len(move))
    with np.errstate(over="ignore"):
        move = move * min(1.0, longest / max(float(np.sqrt(np.sum(move**2))), 1e-300))
    return move, growth
