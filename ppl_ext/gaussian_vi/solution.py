"""What the deterministic solver is told and what it answers."""

from dataclasses import dataclass

import numpy as np

from ppl_ext.fitting.loop import FitLog

__all__ = ["GaussianSolution", "SampleAverage"]


@dataclass(frozen=True)
class SampleAverage:
    """Deterministic Gaussian variational inference on a sample-average objective.

    The expectation in the ELBO is replaced by an average over fixed, whitened, antithetic
    quasi-random draws. The objective is then an ordinary smooth function: it is optimised to
    convergence, without a learning rate, and draws are added until neither the optimiser nor the
    finite sample can move the answer by more than the tolerances.

    Not for models that subsample their data, nor for guides that are not Gaussian.

    Args:
        draws: Draws of the first objective; raised to four times the dimension for full rank.
        max_draws: Most draws; reached on heavy-tailed or strongly curved posteriors only.
        kl_tolerance: Predicted Kullback-Leibler divergence to the optimum of the objective, in
            nats, at which an objective counts as solved.
        error_tolerance: Monte Carlo standard error allowed in the fitted mean, in standard
            deviations of the guide.
        starts: Optimisation paths from random points.
        max_iterations: Most iterations on one objective.

    Raises:
        ValueError: If a count is not positive or a tolerance not between 0 and 1.

    Example:
        >>> SampleAverage(draws=512).max_draws
        16384

    References:
        Giordano, Ingram, Broderick (2024), Black Box Variational Inference with a Deterministic
        Objective, JMLR 25(18).
        Burroni, Domke, Sheldon (2024), Sample Average Approximation for Black-Box VI, UAI.
        Lin, Schmidt, Khan (2020), Handling the Positive-Definite Constraint in the Bayesian
        Learning Rule, ICML.
    """

    draws: int = 256
    max_draws: int = 16384
    kl_tolerance: float = 1e-4
    error_tolerance: float = 0.02
    starts: int = 4
    max_iterations: int = 100

    def __post_init__(self) -> None:
        for name in ("draws", "max_draws", "starts", "max_iterations"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"SampleAverage: {name} = {getattr(self, name)}; expected a positive whole "
                    f"number, such as SampleAverage({name}={getattr(type(self), name)})."
                )
        for name in ("kl_tolerance", "error_tolerance"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"SampleAverage: {name} = {getattr(self, name)}; expected a number between 0 "
                    f"and 1, such as SampleAverage({name}={getattr(type(self), name)})."
                )


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
        draws: Number of draws in the last objective.
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
        ...     draws=256,
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
    draws: int
    converged: bool
    log: FitLog

    @property
    def scale_tril(self) -> np.ndarray:
        """Cholesky factor of the covariance, ``[dim, dim]``, whatever the family."""
        return np.diag(self.scale) if self.scale.ndim == 1 else self.scale
