"""A Gaussian random walk seen with noise, in any dimension: truth without a dense matrix.

``x_1 ~ N(0, 1)``, ``x_t ~ N(x_(t-1), 1)``, ``y_t ~ N(x_t, 1)``. The posterior is Gaussian with a
tridiagonal precision, so the optimum of mean field is known: the posterior mean, and standard
deviations ``1 / sqrt(precision_tt)``.
"""

import resource
import sys
from typing import Any

import numpy as np
from scipy.linalg import solveh_banded

__all__ = ["describe_walk", "simulate"]


def simulate(dim: int) -> np.ndarray:
    """Data ``y[dim]``."""
    rng = np.random.default_rng(0)
    return np.cumsum(rng.normal(size=dim)) + rng.normal(size=dim)


def describe_walk(y: np.ndarray, fit: Any, cpu: float) -> dict[str, float]:
    """Errors against the optimum of the family and the peak memory of this process."""
    dim, solution = len(y), fit.solution
    bands = np.stack([np.full(dim, -1.0), np.full(dim, 3.0)])
    bands[1, -1] = 2.0
    mean = solveh_banded(bands, y)
    if solution.scale.ndim == 1:
        sd = 1 / np.sqrt(bands[1])
        found = solution.scale
    else:
        sd = np.sqrt(np.diag(solveh_banded(bands, np.eye(dim))))
        found = np.sqrt((solution.scale**2).sum(1))
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "mean_error": float(np.max(np.abs(solution.loc - mean) / sd)),
        "sd_error": float(np.max(np.abs(np.log(found / sd)))),
        "cpu": cpu,
        "gradients": solution.log.gradients,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    }
