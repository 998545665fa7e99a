"""The road through the deterministic solver."""

from ppl_ext.density import Density
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi import GaussianSolution, solve_full_rank, solve_mean_field
from ppl_ext.pyro.guides.full_rank import AutoFullRank
from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide

__all__ = ["fit_deterministic"]


def fit_deterministic(
    density: Density,
    guide: AbstractGaussianGuide,
    settings: Deterministic,
    seed: int,
    progress_bar: bool,
) -> GaussianSolution:
    """Fit a Gaussian guide by the solver of the hall.

    Args:
        density: The log density of the model.
        guide: The guide; it is left with the fitted parameters.
        settings: Draws, tolerances and limits.
        seed: Seed of the starts and draws.
        progress_bar: Whether to draw a bar.

    Returns:
        The solver's Gaussian, its log with it.
    """
    solve = solve_full_rank if isinstance(guide, AutoFullRank) else solve_mean_field
    solution = solve(density, settings, seed=seed, progress_bar=progress_bar)
    guide.set_gaussian(solution.loc, solution.scale)
    return solution
