"""The figures of one correction, the same for both hosts."""

from typing import Any

from figures import measure_accuracy
from measuring import clock
from problems.reference import Problem

from ppl_ext.correction import correct
from ppl_ext.density import Density
from ppl_ext.gaussian_vi import GaussianSolution

__all__ = ["describe_correction"]


def describe_correction(
    problem: Problem, density: Density, solution: GaussianSolution, seed: int
) -> dict[str, Any]:
    """Accuracy, evidence, verdict and cost beyond the Gaussian fit."""
    corrected, cpu = clock(lambda: correct(density, solution, seed=seed, progress_bar=False))
    return {
        "accuracy": measure_accuracy(problem, dict(corrected.draws.values)),
        "elbo": solution.elbo,
        "evidence": corrected.evidence,
        "evidence_error": corrected.evidence_error,
        "rhat": corrected.rhat,
        "ess": corrected.ess,
        "verdict": corrected.verdict,
        "advice": corrected.advice,
        "gradients": corrected.log.gradients,
        "cpu": cpu,
    }
