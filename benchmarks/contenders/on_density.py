"""Measurements on densities with known moments, without a host."""

from typing import Any

import numpy as np
from figures import compare, draw_gaussian
from measuring import clock
from zoo import list_targets
from zoo.target import Target

from ppl_ext.diagnostics import Gaussian, judge
from ppl_ext.gaussian_vi import respond_linearly, solve_full_rank, solve_mean_field

__all__ = ["check_gaussians", "fit_targets"]

SOLVERS = {"full rank": solve_full_rank, "mean field": solve_mean_field}
BATCHES, BATCH = 4, 4096


def fit_targets(names: list[str], guide: str, seeds: list[int]) -> dict[str, Any]:
    """Fit and judge each target with every seed: ``{"runs": {name: [figures]}}``."""
    targets = {target.name: target for target in list_targets()}
    return {
        "runs": {
            name: [fit_target(targets[name], guide, seed) for seed in seeds] for name in names
        }
    }


def fit_target(target: Target, guide: str, seed: int) -> dict[str, Any]:
    density = target.density
    try:
        solution, cpu = clock(lambda: SOLVERS[guide](density, seed=seed))
    except ValueError as error:
        return {"failure": str(error)}
    factor = solution.scale_tril
    batches = (
        draw_gaussian(
            density, solution.loc, factor, seed=10_000 + BATCHES * seed + batch, count=BATCH
        )
        for batch in range(BATCHES)
    )
    gaussian = Gaussian(solution.loc, solution.scale)
    report, report_cpu = clock(
        lambda: judge(batches, solution.log, density=density, gaussian=gaussian, seed=seed)
    )
    return {
        **compare(target, draw_gaussian(density, solution.loc, factor, seed)),
        "log_evidence": target.log_evidence,
        "verdict": report.verdict,
        "advice": report.advice,
        "converged": solution.converged,
        "gradients": solution.log.gradients,
        "cpu": cpu,
        "report_cpu": report_cpu,
    }


def check_gaussians() -> dict[str, Any]:
    """Mean field on Gaussian targets against its known optimum, and its linear response."""
    results = {}
    for target in list_targets():
        if not target.name.startswith("gaussian"):
            continue
        density = target.density
        solution = solve_mean_field(density)
        _, slope = density.log_density(target.mean + np.eye(density.dim))
        optimum = 1 / np.sqrt(-np.diag(slope))
        repaired = np.sqrt(np.diag(respond_linearly(density, solution)))
        results[target.name] = {
            "scale_error": float(np.abs(np.log(solution.scale / optimum)).max()),
            "mean_error": float(np.abs((solution.loc - target.mean) / target.sd).max()),
            "response_error": float(np.abs(repaired / target.sd - 1).max()),
        }
    return results
