"""Linear-response covariance of a mean-field fit."""

from dataclasses import replace

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from ppl_ext.density import Density
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi.objective import (
    CountedDensity,
    average_full_rank,
    average_mean_field,
)
from ppl_ext.gaussian_vi.solution import GaussianSolution
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal, round_up

__all__ = ["measure_response", "respond_linearly"]


def respond_linearly(density: Density, solution: GaussianSolution, *, seed: int = 0) -> np.ndarray:
    """Covariance of a mean-field fit from the way its means answer a tilt of the density.

    The covariance of z under ``p(z) exp(t'z)`` is the derivative of its mean in ``t``; taking
    that derivative of the fitted means repairs the standard deviations that mean field
    underestimates, and restores correlations. It is exact for a Gaussian density.

    Not for a fit that has not converged, nor where the density is far from Gaussian: the
    response of a mean-field optimum is then as wrong as the optimum.

    Args:
        density: The log density that was fitted.
        solution: Its mean-field solution.
        seed: Seed of the draws.

    Returns:
        ``[dim, dim]``, covariance on unconstrained space.

    Raises:
        ValueError: If the solution is full rank, or is no strict optimum of the ELBO.

    Example:
        >>> from ppl_ext.density import Density, Site
        >>> from ppl_ext.gaussian_vi import solve_mean_field
        >>> precision = np.array([[2.0, 1.0], [1.0, 2.0]])
        >>> gaussian = Density(
        ...     dim=2,
        ...     sites=(Site("x", (2,), 0, 2),),
        ...     log_density=lambda z: (-0.5 * ((z @ precision) * z).sum(-1), -z @ precision),
        ...     log_p=lambda z: -0.5 * ((z @ precision) * z).sum(-1),
        ...     constrain=lambda z: {"x": z},
        ...     explain=lambda z: "",
        ... )
        >>> covariance = respond_linearly(gaussian, solve_mean_field(gaussian))
        >>> np.allclose(covariance, np.linalg.inv(precision), atol=1e-4)
        True

    References:
        Giordano, Broderick, Jordan (2018), Covariances, Robustness, and Variational Bayes,
        JMLR 19(51).
    """
    if solution.scale.ndim != 1:
        raise ValueError(
            "linear_response: the fit is full rank; expected a mean-field fit. A full-rank "
            "Gaussian already carries its covariance: solution.scale_tril."
        )
    counted = CountedDensity(density.log_density)
    dim = density.dim
    half = draw_standard_normal(max(solution.num_draws // 2, 1), dim, seed)
    step = float(np.finfo(density.dtype).eps ** 0.25)

    def gradient(move: np.ndarray) -> np.ndarray:
        loc = solution.loc + solution.scale * move[:dim]
        scale = solution.scale * np.exp(move[dim:])
        # The slope is asked for in units of the fitted scale, not of the moved one.
        average = average_mean_field(counted, loc, scale, half, solution.scale)
        return np.concatenate([average.slope, average.excess])

    hessian = np.stack(
        [(gradient(-step * unit) - gradient(step * unit)) / (2 * step) for unit in np.eye(2 * dim)]
    )
    try:
        factor = cholesky(0.5 * (hessian + hessian.T), lower=True)
    except (LinAlgError, ValueError) as error:
        raise ValueError(
            "linear_response: the ELBO is not curved downwards in every direction at the fitted "
            f"mean-field Gaussian ({solution.log.reason}); expected a strict optimum. Fit a "
            "full-rank guide instead: AutoFullRank(model)."
        ) from error
    root = solve_triangular(factor, np.eye(2 * dim)[:, :dim], lower=True)
    covariance: np.ndarray = (root.T @ root) * solution.scale[:, None] * solution.scale
    return covariance


def measure_response(
    density: Density, solution: GaussianSolution, covariance: np.ndarray, *, seed: int = 0
) -> GaussianSolution:
    """The full-rank Gaussian of a linear response, with an ELBO and distances of its own.

    Args:
        density: The log density that was fitted.
        solution: Its mean-field solution.
        covariance: What `respond_linearly` made of it, ``[dim, dim]``.
        seed: Seed of the draws on which it is measured.

    Returns:
        The Gaussian. It maximises no ELBO, so that its distance from the optimum need not be
        small; the log is that of the mean-field fit.

    Example:
        >>> from ppl_ext.density import Density, Site
        >>> from ppl_ext.gaussian_vi import solve_mean_field
        >>> precision = np.array([[2.0, 1.0], [1.0, 2.0]])
        >>> gaussian = Density(
        ...     dim=2,
        ...     sites=(Site("x", (2,), 0, 2),),
        ...     log_density=lambda z: (-0.5 * ((z @ precision) * z).sum(-1), -z @ precision),
        ...     log_p=lambda z: -0.5 * ((z @ precision) * z).sum(-1),
        ...     constrain=lambda z: {"x": z},
        ...     explain=lambda z: "",
        ... )
        >>> narrow = solve_mean_field(gaussian)
        >>> wide = measure_response(gaussian, narrow, respond_linearly(gaussian, narrow))
        >>> log_evidence = np.log(2 * np.pi) - 0.5 * np.log(np.linalg.det(precision))
        >>> bool(narrow.elbo < log_evidence), bool(np.isclose(wide.elbo, log_evidence))
        (True, True)
    """
    scale_tril = cholesky(covariance, lower=True)
    pairs = max(solution.num_draws // 2, round_up(2 * density.dim))
    half = draw_standard_normal(pairs, density.dim, seed)
    average = average_full_rank(
        CountedDensity(density.log_density), solution.loc, scale_tril, half
    )
    settings = Deterministic()
    solved = average.predicted_kl < settings.kl_tolerance
    return replace(
        solution,
        scale=scale_tril,
        elbo=average.elbo,
        predicted_kl=average.predicted_kl,
        mean_error=average.mean_error,
        num_draws=2 * pairs,
        converged=bool(solved and average.mean_error <= settings.error_tolerance),
    )
