"""The figures by which an approximate posterior is judged against the truth."""

from typing import Any, Protocol

import numpy as np
from scipy.linalg import solve_triangular

from ppl_ext.density import Density
from ppl_ext.draws import Draws, smooth_weights

__all__ = ["compare", "draw_gaussian", "factorize", "measure_accuracy"]

# Their own Monte Carlo error, 0.005 sd, is half of that of the 10,000 reference draws.
NUM_DRAWS = 40_000


class Truth(Protocol):
    """What a problem and a zoo target have in common."""

    mean: np.ndarray
    sd: np.ndarray

    def extract(self, values: dict[str, np.ndarray]) -> np.ndarray: ...


def measure_accuracy(truth: Truth, values: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of means, in true standard deviations, and of log standard deviations."""
    draws = truth.extract(values)
    with np.errstate(all="ignore"):
        mean_error = np.abs(draws.mean(0) - truth.mean) / truth.sd
        sd_error = np.abs(np.log(draws.std(0) / truth.sd))
    return {
        "mean_error": float(np.max(mean_error)),
        "average_mean_error": float(np.mean(mean_error)),
        "sd_error": float(np.max(sd_error)),
    }


def draw_gaussian(
    density: Density, loc: np.ndarray, scale_tril: np.ndarray, seed: int, count: int = NUM_DRAWS
) -> Draws:
    """Draws of a Gaussian on unconstrained space."""
    noise = np.random.default_rng(seed).normal(size=(count, density.dim))
    z = loc + noise @ scale_tril.T
    whitened = solve_triangular(scale_tril, (z - loc).T, lower=True).T
    log_q = -0.5 * (whitened**2).sum(1) - np.log(np.abs(np.diag(scale_tril))).sum()
    with np.errstate(all="ignore"):
        log_p = density.log_p(z)
        values = dict(density.constrain(z))
    return Draws(values, log_p=log_p, log_q=log_q - 0.5 * density.dim * np.log(2 * np.pi))


def factorize(covariance: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Cholesky factor of a covariance with its coordinates in another order."""
    return np.linalg.cholesky(covariance[np.ix_(order, order)])


def compare(truth: Truth, draws: Draws) -> dict[str, Any]:
    """Accuracy of raw and of importance-resampled draws, their weights and the ELBO."""
    log_weights = draws.log_weights
    figures: dict[str, Any] = {
        "raw": measure_accuracy(truth, dict(draws.values)),
        "elbo": float(np.mean(log_weights)),
        "elbo_error": float(np.std(log_weights) / np.sqrt(draws.num_draws)),
    }
    if not np.isfinite(log_weights).any():
        return figures
    smoothed = smooth_weights(np.where(np.isnan(log_weights), -np.inf, log_weights))
    resampled = measure_accuracy(truth, dict(draws.resample(seed=0).values))
    share = float(smoothed.ess) / draws.num_draws
    return {**figures, "resampled": resampled, "khat": float(smoothed.khat), "ess": share}
