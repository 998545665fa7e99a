"""Posterior moments of the tasks whose posterior is Gaussian but for the bounds of the prior."""

import math

import numpy as np
from scipy import stats

from ppl_ext.commands.demo.reference import Reference

__all__ = ["OBSERVED", "find_reference"]

OBSERVED = {
    "gaussian_linear": np.linspace(-1, 1, 10),
    "gaussian_linear_uniform": np.linspace(-1, 1, 10),
    "gaussian_mixture": np.array([9.5, -2.0]),
}


def find_reference(name: str, x: np.ndarray) -> Reference:
    """Mean and standard deviation of ``theta`` given ``x``, for the tasks of `OBSERVED`."""
    if name == "gaussian_linear":
        return Reference(
            mean={"theta": x / 2},
            sd={"theta": np.full(len(x), math.sqrt(0.05))},
            source="closed form",
        )
    bound, scales = {
        "gaussian_linear_uniform": (1.0, [math.sqrt(0.1)]),
        "gaussian_mixture": (10.0, [1.0, 0.1]),
    }[name]
    parts = [stats.truncnorm((-bound - x) / s, (bound - x) / s, x, s) for s in scales]
    inside = [np.prod(np.diff(stats.norm.cdf([-bound, bound], x[:, None], s))) for s in scales]
    weights = np.array(inside)[:, None] / sum(inside)
    mean = (weights * [part.mean() for part in parts]).sum(0)
    square = (weights * [part.var() + part.mean() ** 2 for part in parts]).sum(0)
    return Reference(
        mean={"theta": mean}, sd={"theta": np.sqrt(square - mean**2)}, source="closed form"
    )
