"""The hosts' ELBO of fitted factors: ``python benchmarks/host_elbo.py RATINGS``.

Factors are fitted in closed form, once in the setting of the lecture (K = 20, all variances 0.5,
ten sweeps), once with the defaults, and once with a feature of users and items, the logarithm of
how many ratings they have. The host's ``Trace_ELBO`` of the same factors as model and
guide, an average over draws, has to be the closed form's within four standard errors.
"""

import argparse
import math
from importlib import import_module

import numpy as np
from tables import format_table, number

from ppl_ext.factorization import (
    Factors,
    Fixed,
    MatrixFactorization,
    Noise,
    Ratings,
    measure_bound,
    read_ratings,
)

DRAWS = 30
LECTURE = MatrixFactorization(
    20, biases=False, center=0.0, user_prior=Fixed(0.5), item_prior=Fixed(0.5), max_sweeps=10,
    noise=Noise(0.5, by_user=False, by_item=False), start_sds=(0.1, 1.0), dtype=np.float64,
)  # fmt: skip
DEFAULTS = MatrixFactorization(dtype=np.float64)
SETTINGS = {"lecture": LECTURE, "defaults": DEFAULTS, "with features": DEFAULTS}
HEADER = ("settings", "host", "closed form", "host's ELBO", "error", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ratings")
    parser.add_argument("--hosts", nargs="+", choices=("numpyro", "pyro"))
    options = parser.parse_args()
    ratings = read_ratings(options.ratings)
    rows = []
    for name, settings in SETTINGS.items():
        features = count_ratings(ratings) if name == "with features" else {}
        factors = settings.fit(ratings, **features, progress_bar=False)
        truth = measure_bound(factors, ratings, **features).total
        for host in options.hosts or ("numpyro", "pyro"):
            estimate = estimate_on_pyro if host == "pyro" else estimate_on_numpyro
            values = estimate(factors, ratings, features)
            error = float(np.std(values)) / math.sqrt(DRAWS)
            mean = float(np.mean(values))
            verdict = "met" if abs(mean - truth) < 4 * error else "NOT MET"
            rows.append((name, host, f"{truth:,.1f}", f"{mean:,.1f}", number(error), verdict))
    print(format_table(HEADER, rows))


def count_ratings(ratings: Ratings) -> dict[str, np.ndarray]:
    """A feature that every table has."""
    sides = {"user_features": ratings.users, "item_features": ratings.items}
    return {name: np.log1p(np.bincount(rows))[:, None] for name, rows in sides.items()}


def estimate_on_pyro(
    factors: Factors, ratings: Ratings, features: dict[str, np.ndarray]
) -> list[float]:
    pyro, torch = import_module("pyro"), import_module("torch")
    part = import_module("ppl_ext.pyro").factorization
    pyro.set_rng_seed(0)
    pyro.clear_param_store()
    torch.set_default_dtype(torch.float64)
    model, guide = part.FactorModel(factors, **features), part.FactorGuide(factors, **features)
    columns, loss = model.columns(ratings), pyro.infer.Trace_ELBO()
    with torch.no_grad():
        return [-loss.loss(model, guide, *columns) for _ in range(DRAWS)]


def estimate_on_numpyro(
    factors: Factors, ratings: Ratings, features: dict[str, np.ndarray]
) -> list[float]:
    jax, numpyro = import_module("jax"), import_module("numpyro")
    part = import_module("ppl_ext.numpyro").factorization
    jax.config.update("jax_enable_x64", True)
    model, guide = part.FactorModel(factors, **features), part.FactorGuide(factors, **features)
    columns, loss = model.columns(ratings), numpyro.infer.Trace_ELBO()
    params = part.CAVI(MatrixFactorization()).get_params(factors)
    run = jax.jit(lambda key: -loss.loss(key, params, model, guide, *columns))
    return [float(run(key)) for key in jax.random.split(jax.random.key(0), DRAWS)]


if __name__ == "__main__":
    main()
