"""Are neural posteriors right on average? ``python benchmarks/npe_calibration.py``.

For each task a network of the NumPyro room trains on a budget of pairs and then answers held-out
ones, one set of draws each. Simulation-based calibration: the least p-value of an element times
their number, target above 0.01. Expected coverage of regions of highest density: the largest
deviation from the level, target within 0.03. With 1,000 pairs chance alone goes beyond that in one
of three runs, and beyond 0.051 in one of a hundred; with ``--pairs 4000`` hardly ever beyond the
target. In rows below each the same for that posterior spoilt on
purpose: drawn together by a fifth, and shifted by half a standard deviation. Both checks have to
catch both.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import clock, measure
from problems.simulated import draw_pairs, simulate
from tables import format_table, number

from models.simulation_tasks.data import TASKS
from ppl_ext.calibration import Calibration, measure_expected_coverage

__all__ = ["Posterior", "check", "narrow", "shift"]

P_VALUE, DEVIATION = 0.01, 0.03
NARROW, SHIFT = 0.8, 0.5
HEADER = (
    *("task", "posterior", "SBC p", "largest deviation", "its p"),
    *("SBC", "coverage", "training CPU s"),
)


class Posterior:
    """Posteriors of many observations: draws, and a density wherever one is asked for."""

    def __init__(
        self,
        draws: np.ndarray,
        log_q: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """``draws[observation, draw, dim]`` and ``log_q``, of points of this shape."""
        self.draws, self.log_q = draws, log_q


def narrow(right: Posterior, factor: float = NARROW) -> Posterior:
    """The same drawn together about its means."""
    center = right.draws.mean(1, keepdims=True)

    def log_q(z: np.ndarray) -> np.ndarray:
        return right.log_q(center + (z - center) / factor) - z.shape[-1] * np.log(factor)

    return Posterior(center + factor * (right.draws - center), log_q)


def shift(right: Posterior, sds: float = SHIFT) -> Posterior:
    """The same moved by so many standard deviations in every coordinate."""
    move = sds * right.draws.std(1, keepdims=True)
    return Posterior(right.draws + move, lambda z: right.log_q(z - move))


def judge(posterior: Posterior, truths: np.ndarray) -> dict[str, float]:
    """Both checks of posteriors with ``truths[observation, dim]``."""
    draws = posterior.draws
    calibration = Calibration.from_draws({"theta": truths}, {"theta": draws})
    least = next(iter(calibration.departures.values())).p_value
    coverage = measure_expected_coverage(
        posterior.log_q(truths[:, None])[:, 0], posterior.log_q(draws)
    )
    return {
        "sbc_p": min(1.0, least * truths.shape[1]),
        "deviation": coverage.largest_gap,
        "coverage_p": coverage.p_value,
    }


def check(
    name: str, budget: int, seed: int, count: int, num_draws: int, num_members: int
) -> dict[str, Any]:
    """Train on a task and judge its posterior and the two that were spoilt."""
    import jax

    import ppl_ext.numpyro as px
    from models.simulation_tasks.on_numpyro import MODELS

    shape = TASKS[name].x_shape
    theta, x = draw_pairs(name, budget, seed)
    npe = px.NPE(MODELS[name], observed="x")
    table = {"theta": theta}, {"x": x.reshape(-1, *shape)}
    key = jax.random.key(seed)
    settings = px.npe.Training(num_members=num_members)
    _, fit_cpu = clock(
        lambda: npe.train(key, simulations=table, settings=settings, progress_bar=False)
    )
    theta, x = simulate(name, np.random.default_rng([seed, 2**31]), count)
    observed, amortized = {"x": x.reshape(-1, *shape)}, npe.trained.amortized
    draws = amortized.sample(observed, num_draws, seed)
    right = Posterior(draws, lambda z: amortized.log_q(z, observed))
    truths = npe.task.coordinates.pull({"theta": theta})
    judged = {
        kind: judge(posterior, truths)
        for kind, posterior in (("", right), ("narrow", narrow(right)), ("shifted", shift(right)))
    }
    return {"fit_cpu": fit_cpu, "judged": judged}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=1_000, help="held-out pairs")
    parser.add_argument("--draws", type=int, default=500, help="draws for each of them")
    parser.add_argument("--members", type=int, default=1, help="networks that are averaged")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=7200, help="seconds for one process")
    parser.add_argument("--json", type=Path, help="file to which each result is added as a line")
    options = parser.parse_args()
    rows = []
    for task in options.tasks:
        answer = measure(
            "npe_calibration:check",
            timeout=options.timeout,
            # In float32, as users run it; the models are found by their path.
            environment={"JAX_ENABLE_X64": "0", "PYTHONPATH": str(Path(__file__).parents[1])},
            name=task,
            budget=options.budget,
            seed=options.seed,
            count=options.pairs,
            num_draws=options.draws,
            num_members=options.members,
        )
        print(json.dumps({"task": task, **answer}), flush=True)
        if options.json:
            with options.json.open("a") as kept:
                kept.write(json.dumps({"task": task, **answer}) + "\n")
        rows += format_rows(task, answer)
    print()
    print(format_table(HEADER, rows))


def format_rows(task: str, answer: dict[str, Any]) -> list[tuple[str, ...]]:
    """The right posterior beside its targets, and whether the spoilt ones were caught."""
    if "failure" in answer:
        return [(task, "failed: " + answer["failure"], *[""] * 6)]
    rows = []
    for kind, judged in answer["judged"].items():
        uniform = judged["sbc_p"] > P_VALUE
        covered = abs(judged["deviation"]) <= DEVIATION
        words = ("missed", "caught") if kind else ("met", "not met")
        rows.append(
            (
                task,
                kind or "as learned",
                f"{judged['sbc_p']:.2g}",
                f"{judged['deviation']:+.3f}",
                f"{judged['coverage_p']:.2g}",
                words[not uniform],
                words[not covered],
                number(answer["fit_cpu"], 0) if not kind else "",
            )
        )
    return rows


if __name__ == "__main__":
    main()
