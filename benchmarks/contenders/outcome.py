"""The figures of one of our fits, the same for both hosts."""

from typing import Any

from figures import compare, draw_gaussian
from problems.reference import Problem

__all__ = ["describe_fit"]


def describe_fit(problem: Problem, fit: Any, cpu: float, seed: int) -> dict[str, Any]:
    """Accuracy, verdict and cost of a deterministic Gaussian fit that took ``cpu`` seconds."""
    solution = fit.solution
    draws = draw_gaussian(fit.density, solution.loc, solution.scale_tril, seed)
    report = fit.report()
    return {
        **compare(problem, draws),
        "verdict": report.verdict,
        "advice": report.advice,
        "converged": solution.converged,
        "reason": fit.log.reason,
        "gradients": fit.log.gradients,
        "cpu": cpu,
        "loc": solution.loc.tolist(),
        "variance": (solution.scale_tril**2).sum(1).tolist(),
    }
