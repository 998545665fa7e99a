"""Fixed standard normal draws on which a sample-average objective is optimised."""

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import ndtri

from ppl_ext.gaussian_vi.sobol import MOST_DIMENSIONS, draw_sobol

__all__ = ["draw_standard_normal", "round_up"]

_MOST_SOBOL = 21201  # dimensions for which SciPy has direction numbers


def draw_standard_normal(num_pairs: int, dim: int, seed: int | np.random.Generator) -> np.ndarray:
    """Half of an antithetic, whitened, quasi-random sample from the standard normal.

    The sample is the union of the returned rows and their negatives: its mean is exactly zero
    and, where there are more pairs than dimensions, its covariance exactly the identity, so that
    an average over it integrates every quadratic without error.

    Args:
        num_pairs: Number of rows; a power of two keeps the Sobol points balanced.
        dim: Number of dimensions.
        seed: Seed or generator of the scrambling.

    Returns:
        ``[num_pairs, dim]``.

    Example:
        >>> half = draw_standard_normal(64, 3, seed=0)
        >>> np.allclose(half.T @ half / 64, np.eye(3))
        True

    References:
        Owen (1998), Scrambling Sobol' and Niederreiter-Xing points, Journal of Complexity 14(4).
    """
    rng = np.random.default_rng(seed)
    if dim <= _MOST_SOBOL:
        # 1e-9 keeps the one point in 2^30 that scrambling may put on the edge off infinity.
        half = ndtri(np.clip(_sobol(num_pairs, dim, rng), 1e-9, 1 - 1e-9))
    else:
        half = rng.standard_normal((num_pairs, dim))
    if num_pairs > dim:
        factor = cholesky(half.T @ half / num_pairs, lower=True, overwrite_a=True)
        whitened: np.ndarray = solve_triangular(factor, half.T, lower=True, overwrite_b=True).T
        return whitened
    scaled: np.ndarray = half / np.sqrt(np.mean(half**2, axis=0))
    return scaled


def round_up(number: int) -> int:
    """The least power of two that is not below a number; Sobol points come in such counts.

    Args:
        number: A positive whole number.

    Returns:
        The power of two.

    Example:
        >>> [round_up(number) for number in (1, 2, 3, 1000)]
        [1, 2, 4, 1024]
    """
    return 1 << max(0, int(number) - 1).bit_length()


def _sobol(num_points: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    num_balanced = round_up(num_points)
    if dim <= MOST_DIMENSIONS:
        return draw_sobol(num_balanced, dim, rng)[:num_points]
    from scipy.stats import qmc  # half a second where nothing else needs it

    points: np.ndarray = qmc.Sobol(dim, rng=rng).random(num_balanced)
    return points[:num_points]
