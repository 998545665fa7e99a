"""The climb of `fit` and the host's NUTS, in Pyro."""

from typing import Any

import numpy as np
import pyro
from figures import measure_accuracy
from measuring import clock
from pyro.infer import MCMC, NUTS

import ppl_ext.pyro as px
from contenders.climbed import count_effective, describe_climb
from contenders.on_pyro import load

__all__ = ["climb", "sample"]


def climb(folder: str, name: str, seeds: list[int]) -> dict[str, Any]:
    """From the call of `fit` to 4,000 draws, with every seed."""
    problem = load(folder, name)

    def run(seed: int) -> Any:
        fit = px.fit(problem.model, seed=seed, progress_bar=False, **problem.kwargs)
        return fit, fit.draws(seed=seed)

    return {
        "runs": [describe_climb(problem, *clock(lambda seed=seed: run(seed))) for seed in seeds]
    }


def sample(folder: str, name: str, seed: int) -> dict[str, Any]:
    """Four chains of the host's NUTS, 1,000 draws each after as many of warm-up."""
    problem = load(folder, name, seed)
    sampler = MCMC(
        NUTS(problem.model), 1000, warmup_steps=1000, num_chains=1, disable_progbar=True
    )

    def run() -> dict[str, np.ndarray]:
        chains = []
        for chain in range(4):
            pyro.set_rng_seed(4 * seed + chain)
            sampler.run(**problem.kwargs)
            chains.append({site: value.numpy() for site, value in sampler.get_samples().items()})
        return {site: np.concatenate([chain[site] for chain in chains]) for site in chains[0]}

    values, cpu = clock(run)
    return {
        "accuracy": measure_accuracy(problem, values),
        "ess": count_effective(problem, values, chains=4),
        "gradients": 0,
        "first_cpu": cpu,
        "cpu": cpu,
    }
