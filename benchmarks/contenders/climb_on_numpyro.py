"""The climb of `fit` and the host's NUTS, in NumPyro."""

from typing import Any

import jax
import numpy as np
from figures import measure_accuracy
from measuring import clock
from numpyro.infer import MCMC, NUTS

import ppl_ext.numpyro as px
from contenders.climbed import count_effective, describe_climb
from contenders.on_numpyro import load

__all__ = ["climb", "sample"]


def climb(folder: str, name: str, seeds: list[int]) -> dict[str, Any]:
    """From the call of `fit` to 4,000 draws, with every seed; the first one compiles."""
    problem = load(folder, name)

    def run(seed: int) -> Any:
        rng_key = jax.random.key(seed)
        fit = px.fit(rng_key, problem.model, progress_bar=False, **problem.kwargs)
        return fit, fit.draws(rng_key)

    return {
        "runs": [describe_climb(problem, *clock(lambda seed=seed: run(seed))) for seed in seeds]
    }


def sample(folder: str, name: str, seed: int) -> dict[str, Any]:
    """Four chains of the host's NUTS, 1,000 draws each after as many of warm-up, twice.

    The second run compiles nothing.
    """
    problem = load(folder, name)
    sampler = MCMC(
        NUTS(problem.model),
        num_warmup=1000,
        num_samples=1000,
        num_chains=4,
        chain_method="sequential",
        progress_bar=False,
    )

    def run(seed: int) -> dict[str, np.ndarray]:
        sampler.run(jax.random.key(seed), extra_fields=("num_steps",), **problem.kwargs)
        return {site: np.asarray(value) for site, value in sampler.get_samples().items()}

    _, first_cpu = clock(lambda: run(seed))
    values, cpu = clock(lambda: run(seed + 1))
    return {
        "accuracy": measure_accuracy(problem, values),
        "ess": count_effective(problem, values, chains=4),
        "gradients": int(sampler.get_extra_fields()["num_steps"].sum()),
        "first_cpu": first_cpu,
        "cpu": cpu,
    }
