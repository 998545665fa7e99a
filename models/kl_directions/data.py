"""Two normal modes that move apart, and the Gaussian of either direction by quadrature.

The target is ``WEIGHT Normal(-gap / 2, 1) + (1 - WEIGHT) Normal(gap / 2, SCALE)``. Forward,
KL(p || q) is least where mean and variance of q are those of p. Reverse, KL(q || p) is what
variational inference minimises; ``tests/models/test_kl_directions.py`` does so by quadrature.
"""

import numpy as np

__all__ = ["GAPS", "SCALE", "WEIGHT", "find_moments"]

GAPS = (0.0, 2.0, 4.0, 6.0, 8.0)
WEIGHT = 0.6
SCALE = 0.7


def find_moments(gap: float) -> tuple[float, float]:
    """Mean and standard deviation of the target: the forward answer."""
    weights, means = np.array([WEIGHT, 1 - WEIGHT]), np.array([-gap / 2, gap / 2])
    mean = float(weights @ means)
    second = float(weights @ (np.array([1.0, SCALE**2]) + means**2))
    return mean, float(np.sqrt(second - mean**2))
