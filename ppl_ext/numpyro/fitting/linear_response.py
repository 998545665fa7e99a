"""The full-rank guide that linear response makes of a mean-field one."""

from typing import Any

import numpy as np

from ppl_ext.density import Density
from ppl_ext.gaussian_vi import GaussianSolution, measure_response, respond_linearly
from ppl_ext.numpyro.fitting.parameters import read_parameters
from ppl_ext.numpyro.guides.full_rank import AutoFullRank
from ppl_ext.numpyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.numpyro.tracing.bound_model import BoundModel, x64_scope

__all__ = ["repair_spread"]


def repair_spread(
    bound: BoundModel,
    guide: AbstractGaussianGuide,
    density: Density,
    solution: GaussianSolution,
) -> tuple[AutoFullRank, dict[str, Any], GaussianSolution]:
    """Give a mean-field solution the covariance of `ppl_ext.gaussian_vi.respond_linearly`.

    Args:
        bound: The model.
        guide: The mean-field guide.
        density: The log density that was fitted.
        solution: The solver's Gaussian.

    Returns:
        The guide, the parameters of guide and model, and the Gaussian.
    """
    solution = measure_response(density, solution, respond_linearly(density, solution))
    with x64_scope(bound.x64):
        repaired = AutoFullRank(guide.model, prefix=guide.prefix)
        repaired._set_up(bound)
        params = repaired.set_gaussian(solution.loc, solution.scale) | read_parameters(bound)
        return repaired, {name: np.asarray(v) for name, v in params.items()}, solution
