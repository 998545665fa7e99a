"""Laws of the simulation tasks by SciPy, from their published definitions.

References:
    Lueckmann, J.-M., Boelts, J., Greenberg, D., Goncalves, P. and Macke, J. (2021). Benchmarking
    simulation-based inference. AISTATS. arXiv:2101.04653, appendix T.
"""

import math

import numpy as np
from scipy import linalg, special, stats

__all__ = ["log_likelihood", "log_prior", "to_uniform"]

BOUNDS = {
    "two_moons": 1.0,
    "slcp": 3.0,
    "gaussian_mixture": 10.0,
    "gaussian_linear_uniform": 1.0,
}
NOISE = math.sqrt(0.1)


def glm_design() -> np.ndarray:
    """An offset beside the stimulus at the lags 0 to 8."""
    stimulus = np.random.RandomState(42).randn(100)
    return np.column_stack([np.ones(100), linalg.toeplitz(stimulus, np.zeros(9))])


def glm_covariance() -> np.ndarray:
    """Of offset and filter: squared second differences, and a ridge that grows with the lag."""
    first = np.eye(9) - np.diag(np.ones(8), -1)
    root = first @ first + np.diag([math.sqrt(lag / 9) for lag in range(9)])
    return linalg.block_diag(2.0, np.linalg.inv(root.T @ root))


def log_prior(name: str, theta: np.ndarray) -> np.ndarray:
    """Log density of parameters ``[pair, dim]``, all of them inside of the prior."""
    dim = theta.shape[1]
    if name in BOUNDS:
        return np.full(len(theta), -dim * math.log(2 * BOUNDS[name]))
    cov = glm_covariance() if name == "bernoulli_glm" else 0.1 * np.eye(dim)
    return stats.multivariate_normal(np.zeros(dim), cov).logpdf(theta)


def log_likelihood(name: str, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Log density of data ``[pair, ...]`` given the parameters of each pair."""
    if name == "two_moons":
        radius = polar(theta, x)[0]
        return stats.norm.logpdf(radius, 0.1, 0.01) - math.log(math.pi) - np.log(radius)
    if name == "slcp":  # the second coordinate given the first
        first, second, rho = slcp_scales(theta)
        away = x - theta[:, None, :2]
        given = rho * second / first * away[..., 0]
        left = second * np.sqrt(1 - rho**2)
        parts = stats.norm.logpdf(away[..., 0], 0, first)
        return (parts + stats.norm.logpdf(away[..., 1], given, left)).sum(1)
    if name == "gaussian_mixture":
        parts = [stats.norm.logpdf(x, theta, scale).sum(1) for scale in (1.0, 0.1)]
        return np.logaddexp(*parts) - math.log(2)
    if name == "bernoulli_glm":
        return stats.bernoulli.logpmf(x, special.expit(theta @ glm_design().T)).sum(1)
    return stats.norm.logpdf(x, theta, NOISE).sum(1)


def polar(theta: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radius and angle that have made the points of the two moons."""
    turn = -math.pi / 4
    first = math.cos(turn) * theta[:, 0] - math.sin(turn) * theta[:, 1]
    second = math.sin(turn) * theta[:, 0] + math.cos(turn) * theta[:, 1]
    point = x - np.column_stack([0.25 - abs(first), second])
    return np.hypot(*point.T), np.arctan2(point[:, 1], point[:, 0])


def slcp_scales(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both standard deviations and the correlation, each ``[pair, 1]``."""
    return theta[:, 2:3] ** 2, theta[:, 3:4] ** 2, np.tanh(theta[:, 4:5])


def to_uniform(name: str, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Columns of independent uniform numbers, if data and parameters follow their laws."""
    if name in BOUNDS:
        prior = (theta / BOUNDS[name] + 1) / 2
    else:
        cov = glm_covariance() if name == "bernoulli_glm" else 0.1 * np.eye(theta.shape[1])
        prior = stats.norm.cdf(np.linalg.solve(np.linalg.cholesky(cov), theta.T).T)
    if name == "two_moons":
        radius, angle = polar(theta, x)
        data = np.column_stack([stats.norm.cdf(radius, 0.1, 0.01), angle / math.pi + 0.5])
    elif name == "slcp":
        first, second, rho = slcp_scales(theta)
        away = x - theta[:, None, :2]
        one, two = away[..., 0] / first, away[..., 1] / second
        white = np.column_stack([one, (two - rho * one) / np.sqrt(1 - rho**2)])
        data = stats.norm.cdf(white)
    elif name == "gaussian_mixture":
        away = x - theta
        square = (away**2).sum(1)
        within = (stats.chi2.cdf(square, 2) + stats.chi2.cdf(square / 0.01, 2)) / 2
        data = np.column_stack([within, np.arctan2(*away.T) / (2 * math.pi) + 0.5])
    elif name == "bernoulli_glm":
        fires = special.expit(theta @ glm_design().T)
        chance = np.random.default_rng(0).uniform(size=fires.shape)
        data = np.where(x == 1, 1 - fires * chance, (1 - fires) * chance)
    else:
        data = stats.norm.cdf(x, theta, NOISE)
    return np.column_stack([prior, data])
