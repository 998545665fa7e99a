"""The figures of one climb, the same for both hosts."""

from typing import Any

import arviz_stats
import numpy as np
from figures import measure_accuracy
from problems.reference import Problem

__all__ = ["count_effective", "describe_climb"]


def describe_climb(problem: Problem, outcome: tuple[Any, Any], cpu: float) -> dict[str, Any]:
    """Accuracy, verdict, steps and cost of a fit with its draws that took ``cpu`` seconds."""
    fit, draws = outcome
    report = fit.report()
    return {
        "accuracy": measure_accuracy(problem, dict(draws.values)),
        "verdict": report.verdict,
        "step": fit.climb.steps[-1].name,
        "gradients": sum(step.gradients for step in fit.climb.steps),
        # Chains tell what their draws are worth; those of a Gaussian are independent.
        "ess": report.chains.ess if report.chains else draws.num_draws,
        "advice": report.advice,
        "cpu": cpu,
    }


def count_effective(problem: Problem, values: dict[str, np.ndarray], chains: int) -> float:
    """The least effective number of draws over the parameters, by ArviZ."""
    columns = problem.extract(values)
    split = columns.reshape(chains, -1, columns.shape[1])
    return min(
        float(arviz_stats.ess(split[:, :, i], method="bulk")) for i in range(columns.shape[1])
    )
