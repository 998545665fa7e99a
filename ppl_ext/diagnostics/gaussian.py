"""A Gaussian on unconstrained space, as the diagnostics see a guide."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

__all__ = ["Gaussian"]


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian on unconstrained space: the guide, or the moments of its draws.

    Args:
        loc: ``[dim]``.
        scale: ``[dim]`` standard deviations or ``[dim, dim]`` Cholesky factor.

    Example:
        >>> Gaussian(np.zeros(2), np.array([[3.0, 0.0], [4.0, 3.0]])).sd.tolist()
        [3.0, 5.0]
    """

    loc: np.ndarray
    scale: np.ndarray

    @classmethod
    def match(cls, z: np.ndarray) -> "Gaussian":
        """The Gaussian with the moments of draws, for a guide that is none.

        Args:
            z: Draws on unconstrained space, ``[draw, dim]``.

        Returns:
            A dense Gaussian where there are ten draws for each dimension and none stands still,
            else a diagonal one; zero is the scale of a coordinate in which all draws agree.

        Example:
            >>> z = np.random.default_rng(0).normal(3.0, 2.0, size=(50_000, 1))
            >>> Gaussian.match(z).sd.round(1).tolist()
            [2.0]
        """
        loc, sd = z.mean(axis=0), z.std(axis=0)
        sd = np.where(np.ptp(z, axis=0) > 0, sd, 0.0)
        if len(z) < 10 * z.shape[1] or not sd.all():
            return cls(loc, sd)
        return cls(loc, np.linalg.cholesky(np.atleast_2d(np.cov(z.T))))

    @property
    def sd(self) -> np.ndarray:
        """Marginal standard deviations, ``[dim]``."""
        if self.scale.ndim == 1:
            return self.scale
        sd: np.ndarray = np.sqrt((self.scale**2).sum(1))
        return sd

    def push(self, e: np.ndarray) -> np.ndarray:
        """Points ``[draw, dim]`` from whitened ones."""
        points: np.ndarray = self.loc + (
            e * self.scale if self.scale.ndim == 1 else e @ self.scale.T
        )
        return points

    def pull(self, z: np.ndarray) -> np.ndarray:
        """Whitened points ``[draw, dim]``."""
        offset = z - self.loc
        if self.scale.ndim == 1:
            whitened: np.ndarray = offset / self.scale
        else:
            whitened = solve_triangular(self.scale, offset.T, lower=True).T
        return whitened

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """Log density, ``[draw]``."""
        diagonal = self.scale if self.scale.ndim == 1 else np.diagonal(self.scale)
        constant = float(np.log(diagonal).sum()) + 0.5 * len(self.loc) * np.log(2 * np.pi)
        log_prob: np.ndarray = -0.5 * (self.pull(z) ** 2).sum(1) - constant
        return log_prob
