"""What a user waits for in the first minute: ``python benchmarks/first_minute.py``.

CPU seconds (user and system) of fresh processes of one thread, medians of several, in the
precision and without the persistent cache that a user starts with. ``--beside FOLDER`` measures
another checkout too and prints the ratio to it.
"""

import argparse
import importlib
import inspect
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import clock, measure
from tables import format_table

HOSTS = ("numpyro", "pyro")
HERE = Path(__file__).resolve().parents[1]
# What a user of the host imports anyway.
PARTS = {
    "numpyro": ("jax", "optax", "numpyro.infer.autoguide", "numpyro.distributions"),
    "pyro": ("torch", "pyro.infer.autoguide", "pyro.distributions", "pyro.optim"),
}
PLAIN = {"JAX_ENABLE_X64": "0"}
EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
DRAWS = 4000
CLOSED_OVER = 10_000_000  # doubles, 80 MB


def import_host(host: str) -> dict[str, float]:
    """CPU seconds of imports: the package, the host, the room, and the room's `fit` and guides."""
    spent = [time.process_time()]
    importlib.import_module("ppl_ext")
    spent.append(time.process_time())
    for part in PARTS[host]:
        importlib.import_module(part)
    spent.append(time.process_time())
    room = importlib.import_module(f"ppl_ext.{host}")
    spent.append(time.process_time())
    # A name costs its import when it is first used.
    for name in ("fit", "AutoFullRank", "AutoMeanField"):
        getattr(room, name)
    spent.append(time.process_time())
    whole, _, room_alone, names = np.diff(spent).tolist()
    return {"whole": whole, "room": room_alone, "names": names}


def fit_two_models(host: str) -> dict[str, float]:
    """The first fit, report and draws of a process, then those of a second model, then again."""
    room = _Room(host)
    seconds = {}
    for name, model, data in (
        ("first", room.eight_schools, (ERROR, EFFECT)),
        ("second", room.regression, _make_regression()),
    ):
        fitted, seconds[f"{name} fit"] = clock(lambda m=model, d=data: room.fit(m, *d))
        report, seconds[f"{name} report"] = clock(fitted.report)
        str(report)
        _, seconds[f"{name} draws"] = clock(lambda f=fitted: room.draw(f, DRAWS))
        again, seconds[f"{name} fit, warm"] = clock(lambda m=model, d=data: room.fit(m, *d))
        _, seconds[f"{name} report, warm"] = clock(again.report)
        if room.climbs:
            climb = lambda m=model, d=data: room.fit(m, *d, climb=True)  # noqa: E731
            _, seconds[f"{name} climb, warm"] = clock(climb)
    return seconds


def close_over_data(host: str) -> dict[str, float]:
    """A fit and a report of a model that reads 80 MB from its closure, once all is compiled."""
    room = _Room(host)
    model = room.close_over(np.zeros(CLOSED_OVER))
    room.fit(model, EFFECT).report()
    fitted, fit_seconds = clock(lambda: room.fit(model, EFFECT))
    _, report_seconds = clock(fitted.report)
    return {"fit": fit_seconds, "report": report_seconds}


def run_demo(host: str) -> dict[str, float]:
    """The demonstration, its pictures included."""
    from ppl_ext.__main__ import main

    with tempfile.TemporaryDirectory() as folder:
        main(["demo", "--host", host, "--out", folder])
    return {"seconds": time.process_time()}


class _Room:
    """One room of the checkout under test, whatever its order of arguments is."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.px = importlib.import_module(f"ppl_ext.{host}")
        self.module = importlib.import_module(host)
        self.dist = importlib.import_module(f"{host}.distributions")
        first = []
        if host == "numpyro":
            import jax

            first = [jax.random.key(0)]
            self.array = np.asarray
        else:
            import torch

            self.array = lambda values: torch.as_tensor(values).float()
        self.first = first

    @property
    def climbs(self) -> bool:
        """Whether this checkout's fit goes on from its Gaussian."""
        return "climb" in inspect.signature(self.px.fit).parameters

    def fit(self, model: Any, *data: np.ndarray, climb: bool = False) -> Any:
        parameters = inspect.signature(self.px.fit).parameters
        by_position = parameters["guide"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        guide = [None] if by_position else []
        options = {"climb": climb} if self.climbs else {}
        arrays = map(self.array, data)
        return self.px.fit(*self.first, model, *guide, *arrays, progress_bar=False, **options)

    def draw(self, fitted: Any, num_draws: int) -> Any:
        return fitted.draws(*self.first, num_draws)

    def eight_schools(self, error: Any, effect: Any) -> None:
        sample, dist = self.module.sample, self.dist
        mu = sample("mu", dist.Normal(0.0, 5.0))
        tau = sample("tau", dist.HalfCauchy(5.0))
        with self.module.plate("school", len(error)):
            z = sample("z", dist.Normal(0.0, 1.0))
            theta = self.module.deterministic("theta", mu + tau * z)
            sample("effect", dist.Normal(theta, error), obs=effect)

    def regression(self, x: Any, y: Any) -> None:
        sample, dist = self.module.sample, self.dist
        with self.module.plate("term", x.shape[1]):
            beta = sample("beta", dist.Normal(0.0, 10.0))
        scale = sample("scale", dist.HalfNormal(5.0))
        with self.module.plate("row", len(y)):
            sample("y", dist.Normal(x @ beta, scale), obs=y)

    def close_over(self, table: np.ndarray) -> Any:
        def model(y: Any) -> None:
            mu = self.module.sample("mu", self.dist.Normal(float(table[0]), 10.0))
            with self.module.plate("row", len(y)):
                self.module.sample("y", self.dist.Normal(mu, 1.0), obs=y)

        return model


def _make_regression() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    return x, x @ np.arange(5.0) + rng.normal(size=200)


def collect(tree: Path, host: str, repeats: int, demo: bool) -> dict[str, float]:
    """Every figure of one checkout and one host, by the row that it stands in."""

    def median(function: str, **arguments: Any) -> dict[str, float]:
        environment = {**PLAIN, "PYTHONPATH": str(tree)}
        runs = [
            measure(f"first_minute:{function}", environment=environment, host=host, **arguments)
            for _ in range(repeats)
        ]
        for run in runs:
            if "failure" in run:
                raise RuntimeError(f"{tree}, {host}, {function}: {run['failure']}")
        return {key: statistics.median(run[key] for run in runs) for key in runs[0]}

    imports = median("import_host")
    two, closed = median("fit_two_models"), median("close_over_data")
    figures = {
        "import ppl_ext, <= 0.2": imports["whole"],
        "import beyond the host, <= 0.2": imports["room"],
        "first use of fit and guides": imports["names"],
    }
    figures |= two
    for which in ("first", "second"):
        figures[f"{which} fit, report and draws"] = sum(
            two[f"{which} {part}"] for part in ("fit", "report", "draws")
        )
    figures |= {f"closure of 80 MB: {key}": value for key, value in closed.items()}
    if demo:
        figures["demo"] = median("run_demo")["seconds"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beside", type=Path, help="another checkout to compare with")
    parser.add_argument("--hosts", nargs="*", choices=HOSTS, default=HOSTS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--demo", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    for cache in ("JAX_COMPILATION_CACHE_DIR", "JAX_DISABLE_MOST_OPTIMIZATIONS"):
        os.environ.pop(cache, None)
    trees = [HERE] if options.beside is None else [options.beside.resolve(), HERE]
    for host in options.hosts:
        columns = [collect(tree, host, options.repeats, options.demo) for tree in trees]
        rows = []
        for name in columns[-1]:
            figures = [column[name] for column in columns]
            ratio = [f"{figures[1] / figures[0]:.2f}"] if len(figures) > 1 else []
            rows.append((name, *(f"{figure:.2f}" for figure in figures), *ratio))
        names = ("now",) if options.beside is None else ("beside", "now", "ratio")
        print(f"\n{host}, CPU seconds\n{format_table(('', *names), rows)}", flush=True)


if __name__ == "__main__":
    main()
