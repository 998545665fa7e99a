"""The full-rank guide that linear response makes of a mean-field one."""

from ppl_ext.density import Density
from ppl_ext.gaussian_vi import GaussianSolution, measure_response, respond_linearly
from ppl_ext.pyro.guides.full_rank import AutoFullRank
from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.isolation import model_scope, own_random_state

__all__ = ["repair_spread"]


def repair_spread(
    bound: BoundModel,
    guide: AbstractGaussianGuide,
    density: Density,
    solution: GaussianSolution,
) -> tuple[AutoFullRank, GaussianSolution]:
    """Give a mean-field solution the covariance of `ppl_ext.gaussian_vi.respond_linearly`.

    Args:
        bound: The model.
        guide: The mean-field guide.
        density: The log density that was fitted.
        solution: The solver's Gaussian.

    Returns:
        The guide, with its parameters, and the Gaussian.
    """
    solution = measure_response(density, solution, respond_linearly(density, solution))
    with model_scope(), own_random_state(0):
        repaired = AutoFullRank(bound.model, prefix=guide._prefix)
        repaired.setup(*bound.args, **bound.kwargs)
    repaired.set_gaussian(solution.loc, solution.scale)
    return repaired, solution
