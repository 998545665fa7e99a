r"""The Gaussian data, the optimal discriminator, and the divergence that the generator descends.

Data come from ``p = Normal(DATA_LOC, DATA_SCALE)`` and fakes from ``q = Normal(loc, scale)``. The
discriminator minimises ``-E_p log D - E_q log(1 - D)`` and is best at ``D = p / (p + q)``; the
generator minimises ``-E_q log(D / (1 - D))``, which is there ``KL(q || p)`` (Goodfellow and others
2014, Generative Adversarial Nets, NeurIPS, arXiv:1406.2661, for the first; Mohamed and
Lakshminarayanan 2016, Learning in Implicit Generative Models, arXiv:1610.03483, for the second).
"""

import math

import numpy as np
from scipy.special import expit
from scipy.stats import norm

__all__ = [
    "DATA_LOC",
    "DATA_SCALE",
    "START_LOC",
    "START_SCALE",
    "find_bulk",
    "kl_divergence",
    "optimal_discriminator",
]

DATA_LOC, DATA_SCALE = 0.0, 1.0
START_LOC, START_SCALE = 1.5, 0.7


def optimal_discriminator(x: np.ndarray, loc: float, scale: float) -> np.ndarray:
    """Probability that ``x`` is of the data, where half of all points are fakes."""
    log_ratio = norm.logpdf(x, DATA_LOC, DATA_SCALE) - norm.logpdf(x, loc, scale)
    return expit(log_ratio)


def kl_divergence(loc: float, scale: float) -> float:
    """Divergence of the fakes from the data, ``KL(q || p)``, in nats."""
    ratio = scale / DATA_SCALE
    return (ratio**2 + ((loc - DATA_LOC) / DATA_SCALE) ** 2 - 1) / 2 - math.log(ratio)


def find_bulk(loc: float, scale: float, points: int = 401) -> np.ndarray:
    """A grid over 99 of 100 points: between the outer quantiles 0.005 of data and fakes."""
    tails = norm.ppf([0.005, 0.995])
    ends = np.concatenate([DATA_LOC + DATA_SCALE * tails, loc + scale * tails])
    return np.linspace(ends.min(), ends.max(), points)
