"""What the deterministic solver answers."""

from dataclasses import dataclass

import numpy as np

from ppl_ext.fitting.fit_log import FitLog

__all__ = ["GaussianSolution"]


@dataclass(frozen=True)
class GaussianSolution:
    """A Gaussian on unconstrained space and how far it is from the optimum of its family.

    Args:
        loc: Mean, ``[dim]``.
        scale: Standard deviations ``[dim]`` of a mean-field solution, Cholesky factor
            ``[dim, dim]`` of a full-rank one.
        elbo: Evidence lower bound on the draws it was fitted to, in nats.
        predicted_kl: Divergence to the optimum of the sample-average objective, in nats.
        mean_error: Monte Carlo standard error of the mean that the finite sample leaves, the
            largest over coordinates, in standard deviations.
        num_draws: Number of draws in the last objective.
        converged: Whether both tolerances were met.
        log: What happened on the way.

    Example:
        >>> log = FitLog(np.array([0.0]), "converged", True, seconds=0.1)
        >>> solution = GaussianSolution(
        ...     loc=np.zeros(2),
        ...     scale=np.array([1.0, 2.0]),
        ...     elbo=0.0,
        ...     predicted_kl=0.0,
        ...     mean_error=0.0,
        ...     num_draws=256,
        ...     converged=True,
        ...     log=log,
        ... )
        >>> solution.scale_tril.tolist()
        [[1.0, 0.0], [0.0, 2.0]]
    """

    loc: np.ndarray
    scale: np.ndarray
    elbo: float
    predicted_kl: float
    mean_error: float
    num_draws: int
    converged: bool
    log: FitLog

    @property
    def scale_tril(self) -> np.ndarray:
        """Cholesky factor of the covariance, ``[dim, dim]``, whatever the family."""
        return np.diag(self.scale) if self.scale.ndim == 1 else self.scale
