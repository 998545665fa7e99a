"""Measurements in NumPyro."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from figures import compare, draw_gaussian, factorize, measure_accuracy
from measuring import clock
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoDiagonalNormal, AutoMultivariateNormal
from problems.on_numpyro import PROBLEMS
from problems.reference import Problem, read

import ppl_ext.numpyro as px
from contenders.corrected import describe_correction
from contenders.outcome import describe_fit
from contenders.walk import describe_walk, simulate

__all__ = ["correct_fit", "fit_host", "fit_ours", "fit_walk", "run_nuts"]

GUIDES = {"full rank": px.AutoFullRank, "mean field": px.AutoMeanField}
HOST_GUIDES = {"full rank": AutoMultivariateNormal, "mean field": AutoDiagonalNormal}


def load(folder: str, name: str) -> Problem:
    problem = PROBLEMS[name](read(folder, name))
    jax.block_until_ready(jax.random.normal(jax.random.key(0)) + 1)  # the backend has started
    return problem


def fit_ours(folder: str, name: str, guide: str, seeds: list[int]) -> dict[str, Any]:
    """Fit once to compile, then with every seed on fresh arrays of the same shapes."""
    problem = load(folder, name)

    def fit(seed: int) -> px.Fit:
        kwargs = {
            key: value + 0 if isinstance(value, jax.Array) else value
            for key, value in problem.kwargs.items()
        }
        family = GUIDES[guide]
        return px.fit(
            jax.random.key(seed), problem.model, guide=family, progress_bar=False, **kwargs
        )

    _, first_cpu = clock(lambda: fit(seeds[0]))
    fits = [clock(lambda seed=seed: fit(seed)) for seed in seeds]
    runs = [describe_fit(problem, *pair, seed) for pair, seed in zip(fits, seeds, strict=True)]
    return {"first_cpu": first_cpu, "runs": runs}


def correct_fit(folder: str, name: str, seeds: list[int]) -> dict[str, Any]:
    """Fit a Gaussian with every seed and carry it to the posterior."""
    problem = load(folder, name)
    runs = []
    for seed in seeds:
        fit = px.fit(
            jax.random.key(seed),
            problem.model,
            guide=GUIDES["full rank"],
            progress_bar=False,
            **problem.kwargs,
        )
        runs.append(describe_correction(problem, fit.density, fit.solution, seed))
    return {"runs": runs}


def fit_host(
    folder: str, name: str, guide: str, seed: int, rate: float, steps: int
) -> dict[str, Any]:
    """The host's automatic guide with Adam, compiled as ``SVI.run`` compiles it."""
    problem = load(folder, name)
    family = HOST_GUIDES[guide](problem.model)
    svi = SVI(problem.model, family, numpyro.optim.Adam(rate), Trace_ELBO())

    def run(state):
        def advance(state, _):
            return svi.update(state, **problem.kwargs)

        return jax.lax.scan(advance, state, length=steps)[0]

    def compile_run():
        state = svi.init(jax.random.key(seed), **problem.kwargs)
        return state, jax.jit(run).lower(state).compile()

    (state, compiled), compile_cpu = clock(compile_run)
    state, cpu = clock(lambda: jax.block_until_ready(compiled(state)))
    posterior = family.get_posterior(svi.get_params(state))
    density = px.trace_density(problem.model, **problem.kwargs)
    order = coordinate_order(family, density)
    if guide == "full rank":
        covariance = np.asarray(posterior.covariance_matrix, dtype=float)
    else:
        covariance = np.diag(np.asarray(posterior.variance, dtype=float))
    loc = np.asarray(posterior.mean, dtype=float)
    draws = draw_gaussian(density, loc[order], factorize(covariance, order), seed)
    figures = compare(problem, draws)
    return {**figures, "gradients": steps, "cpu": cpu, "first_cpu": cpu + compile_cpu}


def coordinate_order(guide: Any, density: Any) -> np.ndarray:
    """Where each coordinate of the density stands in the guide's flat vector."""
    places = guide._unpack_latent(jnp.arange(density.dim))
    return np.concatenate([np.ravel(places[site.name]) for site in density.sites])


def run_nuts(folder: str, name: str, seed: int, warmup: int, num_draws: int) -> dict[str, Any]:
    """One chain of the host's NUTS."""
    problem = load(folder, name)
    sampler = MCMC(
        NUTS(problem.model, target_accept_prob=0.9),
        num_warmup=warmup,
        num_samples=num_draws,
        progress_bar=False,
    )

    def prepare() -> int:
        sampler.warmup(
            jax.random.key(seed),
            extra_fields=("num_steps",),
            collect_warmup=True,
            **problem.kwargs,
        )
        return int(sampler.get_extra_fields()["num_steps"].sum())

    def sample() -> int:
        sampler.run(
            sampler.post_warmup_state.rng_key, extra_fields=("num_steps",), **problem.kwargs
        )
        return int(sampler.get_extra_fields()["num_steps"].sum())

    before, warmup_cpu = clock(prepare)
    after, cpu = clock(sample)
    values: dict[str, np.ndarray] = {
        site: np.asarray(value) for site, value in sampler.get_samples().items()
    }
    return {
        "raw": measure_accuracy(problem, values),
        "gradients": before + after,
        "first_cpu": warmup_cpu + cpu,
    }


def fit_walk(dim: int, guide: str) -> dict[str, float]:
    """Fit the random walk and report the peak memory."""
    y = simulate(dim)

    def walk(y):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([y.shape[0]]).to_event(1))
        numpyro.factor("steps", x[:-1] @ x[1:] - 0.5 * (x[:-1] @ x[:-1]))
        numpyro.sample("y", dist.Normal(x, 1.0).to_event(1), obs=y)

    fit, cpu = clock(
        lambda: px.fit(
            jax.random.key(0), walk, jnp.asarray(y), guide=GUIDES[guide], progress_bar=False
        )
    )
    return describe_walk(y, fit, cpu)
