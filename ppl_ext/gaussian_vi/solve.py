"""Deterministic Gaussian variational inference, from a log density to a converged guide."""

import time
from dataclasses import replace
from functools import partial

import numpy as np

from ppl_ext.density import Density
from ppl_ext.fitting.loop import open_bar
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi.ascent import climb
from ppl_ext.gaussian_vi.curvature import measure_diagonal_curvature
from ppl_ext.gaussian_vi.full_rank import ascend_full_rank
from ppl_ext.gaussian_vi.mean_field import ascend_mean_field
from ppl_ext.gaussian_vi.objective import CountedDensity, GaussianState, average_full_rank
from ppl_ext.gaussian_vi.refinement import refine
from ppl_ext.gaussian_vi.solution import GaussianSolution
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal, round_up
from ppl_ext.gaussian_vi.starts import (
    Start,
    draw_initial_points,
    explain_point,
    find_starts,
)

__all__ = ["solve_full_rank", "solve_mean_field"]

_PROBE_PAIRS = 32
_IMPROPER = 1e12  # no posterior on unconstrained space is as wide
# Laplace's Gaussian with log weights of this variance is a start that needs no second opinion.
_ROUND = 1.0
_BROAD_SCALE, _BROAD_ITERATIONS = 0.1, 30
# Above this dimension mean field does without the dense curvature, 8 d^2 bytes and 4 d gradients.
_MOST_DENSE = 1000


def solve_full_rank(
    density: Density,
    optimizer: Deterministic | None = None,
    *,
    seed: int = 0,
    progress_bar: bool = False,
) -> GaussianSolution:
    """Fit a Gaussian with a dense covariance by deterministic natural gradients.

    Maximises ``E_q[log p(z)] + H[q]`` over ``q = N(loc, L L')``. The ascent starts from the
    curvature at the modes that several optimisation paths reach and, where that is no fair
    picture of the density, from a short mean-field fit as well; the best is refined.

    Not for thousands of dimensions: memory grows with the square of the dimension, time with
    its cube.

    Args:
        density: The log density on unconstrained space.
        optimizer: Draws, tolerances and limits.
        seed: Seed of initial points and draws; the same seed gives the same answer.
        progress_bar: Whether to count gradients in a bar where there is a terminal.

    Returns:
        The fitted Gaussian, its distance from the optimum and the log of the run.

    Raises:
        ValueError: If the log density is finite at no initial point, or at the draws of no
            Gaussian around one, or is flat in some direction; the message names the site.

    Example:
        >>> from ppl_ext.density import Density, Site
        >>> precision = np.array([[2.0, 1.0], [1.0, 2.0]])
        >>> gaussian = Density(
        ...     dim=2,
        ...     sites=(Site("x", (2,), 0, 2),),
        ...     log_density=lambda z: (-0.5 * ((z @ precision) * z).sum(-1), -z @ precision),
        ...     log_p=lambda z: -0.5 * ((z @ precision) * z).sum(-1),
        ...     constrain=lambda z: {"x": z},
        ...     explain=lambda z: "",
        ... )
        >>> solution = solve_full_rank(gaussian)
        >>> covariance = solution.scale_tril @ solution.scale_tril.T
        >>> np.allclose(covariance, np.linalg.inv(precision), atol=1e-6)
        True

    References:
        Lin, Schmidt, Khan (2020), Handling the Positive-Definite Constraint in the Bayesian
        Learning Rule, ICML.
    """
    optimizer = optimizer or Deterministic()
    with open_bar(None, progress_bar, "full rank", unit=" gradients") as bar:
        counted = CountedDensity(density.log_density, bar.update)
        return _check_found(density, _solve_full_rank(density, counted, optimizer, seed))


def _solve_full_rank(
    density: Density, counted: CountedDensity, optimizer: Deterministic, seed: int
) -> GaussianSolution:
    began = time.perf_counter()
    rng = np.random.default_rng(seed)
    pairs = _count_pairs(optimizer, 2 * density.dim)
    half = draw_standard_normal(pairs, density.dim, rng)
    points = draw_initial_points(density, optimizer.num_starts, rng)
    modes = find_starts(counted, points, density.dtype)
    starts = [(mode.loc, mode.scale_tril) for mode in modes]
    if not modes or not _is_round(counted, modes[0], rng):
        broad = _fit_broad_mean_field(counted, points[0], optimizer, rng)
        starts.append((broad.loc, np.diag(broad.scale)))
    ascend = partial(ascend_full_rank, counted, precision=density.dtype)
    return refine(ascend, starts, half, counted, optimizer, rng, began)


def solve_mean_field(
    density: Density,
    optimizer: Deterministic | None = None,
    *,
    seed: int = 0,
    progress_bar: bool = False,
) -> GaussianSolution:
    """Fit a Gaussian with independent coordinates by L-BFGS.

    Maximises ``E_q[log p(z)] + H[q]`` over ``q = N(loc, diag(scale)^2)``. On a Gaussian density
    of precision ``Lambda`` the optimum is its mean with ``scale_j^2 = 1 / Lambda_jj``, narrower
    than the marginals wherever coordinates are correlated: see ``linear_response``.

    Args:
        density: The log density on unconstrained space.
        optimizer: Draws, tolerances and limits.
        seed: Seed of initial points and draws; the same seed gives the same answer.
        progress_bar: Whether to count gradients in a bar where there is a terminal.

    Returns:
        The fitted Gaussian, its distance from the optimum and the log of the run.

    Raises:
        ValueError: If the log density is finite at no initial point, or at the draws of no
            Gaussian around one, or is flat in some direction; the message names the site.

    Example:
        >>> from ppl_ext.density import Density, Site
        >>> precision = np.array([[2.0, 1.0], [1.0, 2.0]])
        >>> gaussian = Density(
        ...     dim=2,
        ...     sites=(Site("x", (2,), 0, 2),),
        ...     log_density=lambda z: (-0.5 * ((z @ precision) * z).sum(-1), -z @ precision),
        ...     log_p=lambda z: -0.5 * ((z @ precision) * z).sum(-1),
        ...     constrain=lambda z: {"x": z},
        ...     explain=lambda z: "",
        ... )
        >>> np.round(solve_mean_field(gaussian).scale ** 2, 3).tolist()
        [0.5, 0.5]

    References:
        Giordano, Ingram, Broderick (2024), Black Box Variational Inference with a Deterministic
        Objective, JMLR 25(18).
    """
    optimizer = optimizer or Deterministic()
    with open_bar(None, progress_bar, "mean field", unit=" gradients") as bar:
        counted = CountedDensity(density.log_density, bar.update)
        return _check_found(density, _solve_mean_field(density, counted, optimizer, seed))


def _solve_mean_field(
    density: Density, counted: CountedDensity, optimizer: Deterministic, seed: int
) -> GaussianSolution:
    began = time.perf_counter()
    rng = np.random.default_rng(seed)
    least = density.dim + 1 if density.dim <= _MOST_DENSE else 1
    half = draw_standard_normal(_count_pairs(optimizer, least), density.dim, rng)
    points = draw_initial_points(density, optimizer.num_starts, rng)
    starts = _start_mean_field(density, counted, points, optimizer, rng)
    return refine(
        partial(ascend_mean_field, counted), starts, half, counted, optimizer, rng, began
    )


def _start_mean_field(
    density: Density,
    counted: CountedDensity,
    points: np.ndarray,
    optimizer: Deterministic,
    rng: np.random.Generator,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Means and scales to start from."""
    if density.dim > _MOST_DENSE:
        loc = climb(counted, points[:1]).points[0]
        return [(loc, 1 / np.sqrt(measure_diagonal_curvature(counted, loc, density.dtype, rng)))]
    modes = find_starts(counted, points, density.dtype)
    starts = []
    for mode in modes:
        inverse = np.linalg.inv(mode.scale_tril)
        starts.append((mode.loc, 1 / np.sqrt((inverse**2).sum(0))))
    if not modes or not _is_round(counted, modes[0], rng):
        broad = _fit_broad_mean_field(counted, points[0], optimizer, rng)
        starts.append((broad.loc, broad.scale))
    return starts


def _check_found(density: Density, solution: GaussianSolution) -> GaussianSolution:
    if not np.isfinite(solution.elbo):
        raise ValueError(
            "fit: the ELBO is not finite for any Gaussian from which the ascent could start: some "
            f"of its draws have no density. {explain_point(density, solution.loc)}Expected a "
            "density that is positive on all of unconstrained space; check the supports of the "
            "latent sites, and cut-offs written as factors: numpyro.factor or pyro.factor of -inf."
        )
    scale = solution.scale
    width = scale if scale.ndim == 1 else np.abs(scale).max(axis=1)
    widest = int(np.argmax(width))
    if not width[widest] < _IMPROPER:
        name = next(site.name for site in density.sites if site.start <= widest < site.stop)
        raise ValueError(
            f"fit: at site '{name}' the Gaussian grew without end, to a standard deviation of "
            f"{width[widest]:.0g}; expected a proper posterior. The data say nothing about some "
            f"direction there and the prior is flat: give '{name}' a proper prior."
        )
    return solution


def _fit_broad_mean_field(
    density: CountedDensity, point: np.ndarray, optimizer: Deterministic, rng: np.random.Generator
) -> GaussianState:
    """A short mean-field fit from a random point: bounded where the density is not."""
    scale = np.full(len(point), _BROAD_SCALE)
    half = draw_standard_normal(_PROBE_PAIRS, len(point), rng)
    short = replace(optimizer, max_steps=_BROAD_ITERATIONS)
    return ascend_mean_field(density, point, scale, half, short, may_add_draws=True)


def _is_round(density: CountedDensity, mode: Start, rng: np.random.Generator) -> bool:
    half = draw_standard_normal(_PROBE_PAIRS, len(mode.loc), rng)
    average = average_full_rank(density, mode.loc, mode.scale_tril, half)
    return average.weight_variance < _ROUND


def _count_pairs(optimizer: Deterministic, least: int) -> int:
    return max(optimizer.num_draws // 2, 1, round_up(least))
