"""Faster convergence of natural-gradient steps by what the last of them have taught."""

import numpy as np
from scipy.linalg import solve_triangular

from ppl_ext.gaussian_vi.objective import GaussianAverage

__all__ = ["Secants"]

_MOST_STEPS = 4
_MOST_FLOATS = 2**22  # numbers in the steps kept, 32 MB
_SAME = 1e-4  # changes of the residual that differ by so small a part of them tell nothing apart


class Secants:
    r"""Anderson acceleration of the natural-gradient ascent of a full-rank Gaussian.

    A natural-gradient step takes the average curvature of the density for that of the ELBO, and
    where the two differ every step leaves the same share of the residual. With points :math:`x_k`
    (mean and covariance), residuals :math:`r_k` (the steps proposed there) and their changes
    :math:`\Delta X, \Delta R` over the last steps, the next step is

    .. math:: r_k - (\Delta X + \Delta R) \gamma, \qquad
        \gamma = \arg\min_\gamma \lVert r_k - \Delta R \gamma \rVert .

    For the end of an ascent: far from the optimum past residuals are no guide.

    Args:
        loc: Mean of the Gaussian in whose frame steps are compared, ``[dim]``.
        scale_tril: Its Cholesky factor, ``[dim, dim]``.

    Example:
        >>> average = GaussianAverage(0.0, np.ones(1), np.zeros((1, 1)), np.ones(1), 0.0, 0.0)
        >>> Secants(np.zeros(1), np.eye(1)).correct(np.zeros(1), np.eye(1), average)
        (array([1.]), array([[0.]]))

    References:
        Anderson (1965), Iterative Procedures for Nonlinear Integral Equations, Journal of the ACM
        12(4).
        Walker, Ni (2011), Anderson Acceleration for Fixed-Point Iterations, SIAM Journal on
        Numerical Analysis 49(4).
    """

    def __init__(self, loc: np.ndarray, scale_tril: np.ndarray) -> None:
        self._loc, self._scale_tril = loc, scale_tril
        self._steps = max(1, min(_MOST_STEPS, _MOST_FLOATS // scale_tril.size))
        self._points: list[np.ndarray] = []
        self._residuals: list[np.ndarray] = []

    def forget(self) -> None:
        """Begin anew from the last point, where the steps to it were no guide to the next."""
        self._points, self._residuals = self._points[-1:], self._residuals[-1:]

    def correct(
        self, loc: np.ndarray, scale_tril: np.ndarray, average: GaussianAverage
    ) -> tuple[np.ndarray, np.ndarray]:
        """Remember a Gaussian and correct the step to take from it.

        Args:
            loc: Its mean, ``[dim]``.
            scale_tril: Its Cholesky factor, ``[dim, dim]``.
            average: Its averages.

        Returns:
            What takes the place of the average's ``slope[dim]`` and ``excess[dim, dim]``: the same
            while no other Gaussian is remembered.
        """
        turn = solve_triangular(self._scale_tril, scale_tril, lower=True)
        centre = solve_triangular(self._scale_tril, loc - self._loc, lower=True)
        residual = _pack(turn @ average.slope, turn @ average.excess @ turn.T)
        self._points = [*self._points[-self._steps :], _pack(centre, turn @ turn.T)]
        self._residuals = [*self._residuals[-self._steps :], residual]
        if len(self._points) == 1:
            return average.slope, average.excess
        moves, changes = np.diff(self._points, axis=0), np.diff(self._residuals, axis=0)
        weights = np.linalg.lstsq(changes.T, residual, rcond=_SAME)[0]
        mean, covariance = _unpack(residual - weights @ (moves + changes), len(loc))
        slope = solve_triangular(turn, mean, lower=True)
        half = solve_triangular(turn, covariance, lower=True)
        excess = solve_triangular(turn, half.T, lower=True)
        return slope, 0.5 * (excess + excess.T)


def _pack(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """One vector, whose square is twice the divergence of the quadratic model."""
    return np.concatenate([mean, covariance.ravel() / np.sqrt(2)])


def _unpack(vector: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    return vector[:dim], np.sqrt(2) * vector[dim:].reshape(dim, dim)
