"""Mixtures of Gaussians: modes near and far, even and uneven, narrow and wide."""

import numpy as np
from scipy.special import logsumexp

from zoo.target import Target, build

__all__ = ["cross", "far_mode", "mixture", "nested", "two_modes"]


def mixture(name: str, weights: np.ndarray, means: np.ndarray, sds: np.ndarray) -> Target:
    """A mixture of axis-parallel Gaussians, ``means`` and ``sds`` of shape ``[part, dim]``."""
    dim = means.shape[1]
    constant = np.log(weights) - np.log(sds).sum(-1) - 0.5 * dim * np.log(2 * np.pi)

    def log_density(z):
        scaled = (z[:, None, :] - means) / sds
        parts = constant - 0.5 * (scaled**2).sum(-1)
        log_p = logsumexp(parts, axis=1)
        share = np.exp(parts - log_p[:, None])
        return log_p, -(share[:, :, None] * scaled / sds).sum(1)

    mean = weights @ means
    sd = np.sqrt(weights @ (sds**2 + means**2) - mean**2)
    return build(name, log_density, mean, sd, dim=dim)


def two_modes(separation: float, weight: float, dim: int) -> Target:
    """Two unit Gaussians ``separation`` apart along the diagonal, ``weight`` on the second."""
    means = np.stack([np.zeros(dim), np.full(dim, separation / np.sqrt(dim))])
    weights = np.array([1 - weight, weight])
    name = f"two modes {separation:g} apart, {weight:g} in one, d={dim}"
    return mixture(name, weights, means, np.ones((2, dim)))


def far_mode(distance: float, sd: float, dim: int) -> Target:
    """Two equal halves far apart, one of them ``sd`` wide: most starts see only one of them."""
    means = np.stack([np.zeros(dim), np.full(dim, distance)])
    sds = np.stack([np.ones(dim), np.full(dim, sd)])
    return mixture(
        f"far mode at {distance:g}, {sd:g} wide, d={dim}", np.array([0.5, 0.5]), means, sds
    )


def nested(weight: float, wide: float, dim: int) -> Target:
    """A narrow Gaussian inside a wide one that holds ``weight``."""
    sds = np.stack([np.ones(dim), np.full(dim, wide)])
    name = f"shoulders {wide:g} wide, {weight:g} in them, d={dim}"
    return mixture(name, np.array([1 - weight, weight]), np.zeros((2, dim)), sds)


def cross(length: float) -> Target:
    """Two thin Gaussians that cross at a right angle."""
    sds = np.array([[length, 1.0], [1.0, length]])
    return mixture(f"cross of length {length:g}", np.array([0.5, 0.5]), np.zeros((2, 2)), sds)
