"""L-BFGS ascent of a mean-field Gaussian on fixed draws."""

from typing import TYPE_CHECKING

import numpy as np

from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi.objective import (
    CountedDensity,
    GaussianAverage,
    GaussianState,
    average_mean_field,
)
from ppl_ext.gaussian_vi.starts import factor_covariance

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

__all__ = ["ascend_mean_field"]

_WIDEST = 20.0  # a standard deviation may change by this power of e from where it started
_HOPELESS = 1e30  # objective where a draw has no finite density; the line search steps back


def ascend_mean_field(
    density: CountedDensity,
    loc: np.ndarray,
    scale: np.ndarray,
    half: np.ndarray,
    optimizer: Deterministic,
    *,
    may_add_draws: bool,
) -> GaussianState:
    """Climb the sample-average ELBO in mean and log standard deviations.

    The mean moves in coordinates in which the average curvature of the density at the start is
    round, so that correlation in the density does not slow the climb; the logarithms of the
    standard deviations are scaled to the same unit curvature.

    Args:
        density: The log density.
        loc: Mean to start from, ``[dim]``.
        scale: Standard deviations to start from, ``[dim]``.
        half: Standard normal draws, ``[pair, dim]``; their negatives are used too.
        optimizer: Tolerances and limits.
        may_add_draws: Whether a larger objective can follow; this one then ends as soon as its
            own error is below that of its draws.

    Returns:
        The Gaussian reached, with the averages there.
    """
    dim = len(loc)
    latest: list[GaussianAverage] = []
    frame = _find_frame(density, loc, scale, half)

    def unpack(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        move = frame @ x[:dim] if frame.ndim == 2 else frame * x[:dim]
        return loc + move, scale * np.exp(np.clip(x[dim:] / np.sqrt(2), -_WIDEST, _WIDEST))

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        average = average_mean_field(density, *unpack(x), half, frame)
        latest[:] = [average]
        if not np.isfinite(average.elbo):
            return _HOPELESS, np.zeros(2 * dim)
        return -average.elbo, -np.concatenate([average.slope, average.excess / np.sqrt(2)])

    def watch(intermediate_result: "OptimizeResult") -> None:
        elbos.append(-float(intermediate_result.fun))
        if latest[0].is_solved(optimizer, may_add_draws):
            raise StopIteration

    start = average_mean_field(density, loc, scale, half, frame)
    while not np.isfinite(start.elbo) and scale.max() > 1e-12:
        scale = 0.5 * scale
        frame = _find_frame(density, loc, scale, half)
        start = average_mean_field(density, loc, scale, half, frame)
    elbos = [start.elbo]
    if not np.isfinite(start.elbo) or start.is_solved(optimizer, may_add_draws):
        return GaussianState(loc, scale, start, tuple(elbos))
    from scipy.optimize import minimize

    result = minimize(
        evaluate,
        np.zeros(2 * dim),
        jac=True,
        method="L-BFGS-B",
        callback=watch,
        options={
            "maxiter": optimizer.max_steps,
            "maxfun": 4 * optimizer.max_steps,
            "maxcor": 20,
            "ftol": 0.0,
            "gtol": 0.0,
        },
    )
    end = unpack(result.x)
    return GaussianState(*end, average_mean_field(density, *end, half, frame), tuple(elbos))


def _find_frame(
    density: CountedDensity, loc: np.ndarray, scale: np.ndarray, half: np.ndarray
) -> np.ndarray:
    """Coordinates in which the average curvature of the density under a Gaussian is round.

    Stein's lemma gives the average Hessian from gradients at the draws. Where there are too few
    of them for a matrix, or one has no density, the frame is the scales themselves.
    """
    pairs, dim = half.shape
    if pairs <= dim:
        return scale
    _, up = density(loc + scale * half)
    _, down = density(loc - scale * half)
    with np.errstate(all="ignore"):
        curvature = half.T @ (0.5 * (down - up) * scale) / pairs
        curvature = 0.5 * (curvature + curvature.T)
    factor = factor_covariance(curvature)
    return scale if factor is None else scale[:, None] * factor
