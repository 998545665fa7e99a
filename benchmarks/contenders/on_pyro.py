"""Measurements in Pyro."""

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from figures import compare, draw_gaussian, factorize, measure_accuracy
from measuring import clock
from problems.on_pyro import PROBLEMS
from problems.reference import Problem, read
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoDiagonalNormal, AutoMultivariateNormal

import ppl_ext.pyro as px
from contenders.corrected import describe_correction
from contenders.outcome import describe_fit
from contenders.walk import describe_walk, simulate

__all__ = ["correct_fit", "fit_host", "fit_ours", "fit_walk", "run_nuts"]

GUIDES = {"full rank": px.AutoFullRank, "mean field": px.AutoMeanField}
HOST_GUIDES = {"full rank": AutoMultivariateNormal, "mean field": AutoDiagonalNormal}


def load(folder: str, name: str, seed: int = 0) -> Problem:
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    pyro.set_rng_seed(seed)
    return PROBLEMS[name](read(folder, name))


def fit_ours(folder: str, name: str, guide: str, seeds: list[int]) -> dict[str, Any]:
    """Fit once to warm up, then with every seed on fresh tensors of the same shapes."""
    problem = load(folder, name)

    def fit(seed: int) -> px.Fit:
        kwargs = {
            key: value.clone() if isinstance(value, torch.Tensor) else value
            for key, value in problem.kwargs.items()
        }
        family = GUIDES[guide]
        return px.fit(problem.model, guide=family, seed=seed, progress_bar=False, **kwargs)

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
            problem.model,
            guide=GUIDES["full rank"],
            seed=seed,
            progress_bar=False,
            **problem.kwargs,
        )
        runs.append(describe_correction(problem, fit.density, fit.solution, seed))
    return {"runs": runs}


def fit_host(
    folder: str, name: str, guide: str, seed: int, rate: float, steps: int
) -> dict[str, Any]:
    """The host's automatic guide with Adam, step by step as its tutorials do."""
    problem = load(folder, name, seed)
    family = HOST_GUIDES[guide](problem.model)
    svi = SVI(problem.model, family, pyro.optim.Adam({"lr": rate}), Trace_ELBO())

    def run() -> None:
        for _ in range(steps):
            svi.step(**problem.kwargs)

    _, cpu = clock(run)
    posterior = family.get_posterior()
    density = px.trace_density(problem.model, **problem.kwargs)
    order = coordinate_order(family, density)
    if guide == "full rank":
        covariance = posterior.covariance_matrix.detach().numpy()
    else:
        covariance = np.diag(posterior.variance.detach().numpy())
    loc = posterior.mean.detach().numpy()
    draws = draw_gaussian(density, loc[order], factorize(covariance, order), seed)
    figures = compare(problem, draws)
    return {**figures, "gradients": steps, "cpu": cpu, "first_cpu": cpu}


def coordinate_order(guide: Any, density: Any) -> np.ndarray:
    """Where each coordinate of the density stands in the guide's flat vector."""
    places = {
        site["name"]: value.flatten().int().numpy()
        for site, value in guide._unpack_latent(torch.arange(density.dim).double())
    }
    return np.concatenate([places[site.name] for site in density.sites])


def run_nuts(folder: str, name: str, seed: int, warmup: int, num_draws: int) -> dict[str, Any]:
    """One chain of the host's NUTS."""
    problem = load(folder, name, seed)
    calls = 0

    def counted(**kwargs: Any) -> None:
        nonlocal calls
        calls += 1  # the model runs once for each gradient
        problem.model(**kwargs)

    kernel = NUTS(counted, target_accept_prob=0.9, max_plate_nesting=1)
    sampler = MCMC(kernel, num_samples=num_draws, warmup_steps=warmup, disable_progbar=True)
    _, cpu = clock(lambda: sampler.run(**problem.kwargs))
    gradients = calls
    sites = sorted({name.partition("[")[0] for name in problem.names})
    predictive = Predictive(problem.model, sampler.get_samples(), return_sites=sites)
    # Predictive leaves an axis of size one for each plate that a site is outside of.
    values = {
        site: value.reshape(num_draws, -1).squeeze(1).numpy()
        for site, value in predictive(**problem.kwargs).items()
    }
    return {"raw": measure_accuracy(problem, values), "gradients": gradients, "first_cpu": cpu}


def fit_walk(dim: int, guide: str) -> dict[str, float]:
    """Fit the random walk and report the peak memory."""
    torch.set_default_dtype(torch.float64)
    y = simulate(dim)

    def walk(y):
        x = pyro.sample("x", dist.Normal(0.0, 1.0).expand([len(y)]).to_event(1))
        pyro.factor("steps", x[:-1] @ x[1:] - 0.5 * (x[:-1] @ x[:-1]))
        pyro.sample("y", dist.Normal(x, 1.0).to_event(1), obs=y)

    fit, cpu = clock(
        lambda: px.fit(walk, torch.tensor(y), guide=GUIDES[guide], progress_bar=False)
    )
    return describe_walk(y, fit, cpu)
