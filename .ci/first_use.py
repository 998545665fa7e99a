"""Import a part of ppl_ext and fit one small model with it, in an environment of its own.

`python .ci/first_use.py numpyro` asks whether the extra `numpyro` brings all that is needed.
"""

import sys
from importlib import import_module
from pkgutil import iter_modules, walk_packages

import numpy as np

HEIGHTS = np.array([1.62, 1.75, 1.80, 1.69])


def use_hall() -> None:
    """Coordinate ascent on a normal sample under a flat prior: the mean of the data."""
    import ppl_ext
    from ppl_ext.cavi import Gamma, Normal, NormalTerm, PriorTerm, ascend

    for module in iter_modules(ppl_ext.__path__, "ppl_ext."):
        if module.name not in ("ppl_ext.__main__", "ppl_ext.numpyro", "ppl_ext.pyro"):
            import_module(module.name)
    start = {
        "mean": Normal(np.array(0.0), np.array(1e-6)),
        "precision": Gamma(np.array(1.0), np.array(0.01)),
    }
    terms = [PriorTerm(name, factor) for name, factor in start.items()]
    found = ascend([*terms, NormalTerm(HEIGHTS, "mean", "precision")], start)
    assert abs(float(found.factors["mean"].mean) - HEIGHTS.mean()) < 1e-3


def use_numpyro() -> None:
    """A normal mean by NumPyro."""
    import jax
    import numpyro
    import numpyro.distributions as dist

    import ppl_ext.numpyro as px

    def model() -> None:
        mean = numpyro.sample("mean", dist.Normal(0, 10))
        with numpyro.plate("person", len(HEIGHTS)):
            numpyro.sample("height", dist.Normal(mean, 0.1), obs=HEIGHTS)

    _import_all(px)
    fit = px.fit(jax.random.key(0), model, guide=px.AutoMeanField, progress_bar=False)
    _check(fit, fit.draws(jax.random.key(1), 1000))


def use_pyro() -> None:
    """A normal mean by Pyro."""
    import pyro
    import pyro.distributions as dist
    import torch

    import ppl_ext.pyro as px

    def model() -> None:
        mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
        with pyro.plate("person", len(HEIGHTS)):
            height = torch.as_tensor(HEIGHTS, dtype=torch.float32)
            pyro.sample("height", dist.Normal(mean, 0.1), obs=height)

    _import_all(px)
    pyro.set_rng_seed(0)
    fit = px.fit(model, guide=px.AutoMeanField, progress_bar=False)
    _check(fit, fit.draws(1000))


def use_factorization() -> None:
    """A factorization of simulated ratings."""
    from ppl_ext.factorization import MatrixFactorization, simulate_ratings

    ratings = simulate_ratings(num_users=60, num_items=40, seed=0).ratings
    factors = MatrixFactorization(2, max_sweeps=3).fit(ratings, progress_bar=False)
    assert factors.elbo[-1] > factors.elbo[0]


def use_plots() -> None:
    """A trace of a fit."""
    from ppl_ext.fitting import FitLog
    from ppl_ext.plots import plot_elbo

    log = FitLog(1 + np.exp(-np.arange(9.0)), "converged", True, 0.1)
    assert plot_elbo(log).get_ylabel() == "ELBO (nats)"


def use_calibration() -> None:
    """A classifier that tells two samples apart."""
    from ppl_ext.calibration import c2st

    sample = np.arange(40.0)[:, None]
    assert c2st(sample, sample + 1000) == 1.0


def use_cytometry() -> None:
    """The library that reads FCS files; the model that calls it stands beside the package."""
    from flowio import FlowData

    assert callable(FlowData.as_array)


def use_enumeration() -> None:
    """Two groups of heights, told apart by a site that is summed out."""
    import jax
    import numpyro
    import numpyro.distributions as dist

    import ppl_ext.numpyro as px

    def model() -> None:
        mean = numpyro.sample("mean", dist.Normal(0, 10))
        with numpyro.plate("person", len(HEIGHTS)):
            tall = numpyro.sample("tall", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
            numpyro.sample("height", dist.Normal(mean + 0.02 * tall, 0.1), obs=HEIGHTS)

    fit = px.fit(jax.random.key(0), model, guide=px.AutoMeanField, progress_bar=False)
    assert fit.draws(jax.random.key(1), 10).values["tall"].shape == (10, len(HEIGHTS))


def use_parallel() -> None:
    """Simulations in two processes."""
    from ppl_ext.simulation import run_simulations

    def simulate(first_row: int, size: int) -> dict[str, dict[str, np.ndarray]]:
        mean = np.arange(first_row, first_row + size)
        return {"latent": {"mean": mean}, "observed": {"height": mean + HEIGHTS[0]}}

    found = run_simulations(simulate, 4, chunk_size=2, num_jobs=2, progress_bar=False)
    assert found.observed["height"][3] == 3 + HEIGHTS[0]


def _import_all(package) -> None:
    """Import every module: a room loads what is behind a name when it is first used."""
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)


def _check(fit, draws) -> None:
    assert fit.report().ok, fit.report()
    assert abs(float(draws.values["mean"].mean()) - HEIGHTS.mean()) < 0.02
    assert draws.to_datatree().posterior["mean"].size == 1000


def main(parts: list[str]) -> None:
    """Use some parts; see to it that the others' packages are not what made it work."""
    use_hall()
    for part in parts:
        globals()[f"use_{part}"]()
    others = {
        "numpyro": "jax",
        "pyro": "torch",
        "factorization": "numba",
        "plots": "matplotlib",
        "enumeration": "funsor",
        "parallel": "joblib",
        "calibration": "sklearn",
        "cytometry": "flowio",
    }
    if "calibration" in parts:
        del others["parallel"]  # scikit-learn needs joblib itself
    for part, module in others.items():
        if part not in parts:
            try:
                import_module(module)
            except ModuleNotFoundError:
                continue
            raise SystemExit(f"{module} is there, which none of {parts} needs")
    print("first use:", ", ".join(["hall", *parts]))


main(sys.argv[1:])
