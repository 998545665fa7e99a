"""Parameters of a model at the optimum of the bound, beside the Gaussian of its latent sites."""

from ppl_ext.gaussian_vi.parameters.solution import ParametricSolution
from ppl_ext.gaussian_vi.parameters.solve import MOST_PARAMETERS, solve_with_parameters

__all__ = ["MOST_PARAMETERS", "ParametricSolution", "solve_with_parameters"]
