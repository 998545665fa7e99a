"""Deterministic Gaussian variational inference on a batched log density."""

from ppl_ext.gaussian_vi.linear_response import measure_response, respond_linearly
from ppl_ext.gaussian_vi.solution import GaussianSolution
from ppl_ext.gaussian_vi.solve import solve_full_rank, solve_mean_field

__all__ = [
    "GaussianSolution",
    "measure_response",
    "respond_linearly",
    "solve_full_rank",
    "solve_mean_field",
]
