"""Models with parameters: ``python benchmarks/parameters.py``.

CPU seconds of a fresh process, and how far the parameters (logarithms of a noise and of a width)
lie from the maximum of the marginal likelihood, in its standard errors: ``fit`` beside the host's
``SVI`` with a full-rank guide and Adam for some numbers of steps. What the parameters multiply is
Gaussian, so that the bound of a full-rank Gaussian is the marginal likelihood and the truth exact.
"""

import argparse
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import clock, measure
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from tables import format_table

HOSTS = ("numpyro", "pyro")
PROBLEMS = ("regression", "groups", "process")
STEPS = (2_000, 20_000)
STEP_SIZE, JITTER = 0.01, 1e-4


def make_problem(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A design for standard normal effects, ``[datum, effect]``, and the data."""
    rng = np.random.default_rng(5)
    if name == "regression":
        design = rng.normal(size=(60, 5))
    elif name == "groups":
        design = np.eye(20)[rng.integers(0, 20, 300)]
    else:
        times = np.linspace(0.0, 3.0, 25)
        near = np.exp(-0.5 * ((times[:, None] - times) / 0.5) ** 2)
        design = np.linalg.cholesky(near + JITTER * np.eye(25))
    effects = 1.5 * rng.normal(size=design.shape[1])
    return design, design @ effects + 0.3 * rng.normal(size=len(design))


def maximise_evidence(design: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of noise and width at the maximum, and their standard errors."""

    def loss(theta: np.ndarray) -> float:
        noise, width = np.exp(2 * theta)
        covariance = noise * np.eye(len(y)) + width * design @ design.T
        return -float(multivariate_normal(np.zeros(len(y)), covariance).logpdf(y))

    best = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-7}).x
    h = 1e-3 * np.eye(2)
    information = [
        [
            (loss(best + a + b) - loss(best + a - b) - loss(best - a + b) + loss(best - a - b))
            / 4e-6
            for a in h
        ]
        for b in h
    ]
    return best, np.sqrt(np.diag(np.linalg.inv(information)))


def fit_room(host: str, problem: str) -> dict[str, Any]:
    """``fit``, its report, and the parameters."""
    model, arrays, first = _make_model(host, problem)
    px = importlib.import_module(f"ppl_ext.{host}")
    fitted, seconds = clock(lambda: px.fit(*first, model, *arrays, progress_bar=False))
    _, report_seconds = clock(fitted.report)
    params = [float(fitted.params[name]) for name in ("noise", "width")]
    return {
        "seconds": seconds,
        "with report": seconds + report_seconds,
        "params": params,
        "end": fitted.log.end,
    }


def run_svi(host: str, problem: str, steps: int) -> dict[str, Any]:
    """The host's own way."""
    model, arrays, first = _make_model(host, problem)
    ppl = importlib.import_module(host)
    guide = importlib.import_module(f"{host}.infer.autoguide").AutoMultivariateNormal(model)
    optim, infer = importlib.import_module(f"{host}.optim"), ppl.infer
    run: Callable[[], list[float]]
    if host == "numpyro":
        svi = infer.SVI(model, guide, optim.Adam(STEP_SIZE), infer.Trace_ELBO())

        def run() -> list[float]:
            params = svi.run(*first, steps, *arrays, progress_bar=False).params
            return [float(params[name]) for name in ("noise", "width")]
    else:
        svi = infer.SVI(model, guide, optim.Adam({"lr": STEP_SIZE}), infer.Trace_ELBO())

        def run() -> list[float]:
            for _ in range(steps):
                svi.step(*arrays)
            return [ppl.param(name).item() for name in ("noise", "width")]

    params, seconds = clock(run)
    return {"seconds": seconds, "with report": None, "params": params, "end": f"{steps:,} steps"}


def _make_model(host: str, problem: str) -> tuple[Callable[..., None], list[Any], list[Any]]:
    """The model, its arrays, and the key where the host takes one."""
    ppl, dist = importlib.import_module(host), importlib.import_module(f"{host}.distributions")
    if host == "numpyro":
        import jax
        import jax.numpy as jnp

        array, first = jnp.asarray, [jax.random.key(0)]
    else:
        import torch

        array, first = (lambda values: torch.as_tensor(values).float()), []
        ppl.set_rng_seed(0)

    def model(design: Any, y: Any) -> None:
        positive = dist.constraints.positive
        noise = ppl.param("noise", array(1.0), constraint=positive)
        width = ppl.param("width", array(1.0), constraint=positive)
        with ppl.plate("column", design.shape[1]):
            effect = ppl.sample("effect", dist.Normal(array(0.0), width))
        with ppl.plate("row", len(y)):
            ppl.sample("y", dist.Normal(design @ effect, noise), obs=y)

    return model, [array(each) for each in make_problem(problem)], first


def measure_all(hosts: list[str], problems: list[str]) -> list[dict[str, Any]]:
    """One row for each contender on each problem."""
    rows = []
    for problem in problems:
        best, error = maximise_evidence(*make_problem(problem))
        for host in hosts:
            runs = [("fit", "parameters:fit_room", {})]
            runs += [("SVI", "parameters:run_svi", {"steps": steps}) for steps in STEPS]
            for contender, function, more in runs:
                row = measure(
                    function,
                    environment={"JAX_ENABLE_X64": "0"},
                    host=host,
                    problem=problem,
                    **more,
                )
                if "failure" in row:
                    raise RuntimeError(f"{host}, {problem}, {contender}: {row['failure']}")
                away = np.abs(np.log(row["params"]) - best) / error
                rows.append(
                    row
                    | {"host": host, "problem": problem, "contender": contender}
                    | {"error": float(away.max())}
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", nargs="*", choices=HOSTS, default=HOSTS)
    parser.add_argument("--problems", nargs="*", choices=PROBLEMS, default=PROBLEMS)
    parser.add_argument("--json", type=Path, help="where to keep the figures")
    options = parser.parse_args()
    rows = measure_all(options.hosts, options.problems)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    table = [
        (
            row["problem"],
            row["host"],
            row["contender"],
            f"{row['seconds']:.1f}",
            "-" if row["with report"] is None else f"{row['with report']:.1f}",
            f"{row['error']:.4f}",
            row["end"],
        )
        for row in rows
    ]
    header = ("problem", "host", "by", "CPU s", "with report", "error in se", "end")
    print(format_table(header, table))


if __name__ == "__main__":
    main()
