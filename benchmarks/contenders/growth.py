"""What a call costs as what it is given grows: a process for each curve, each call warm."""

import importlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from contenders.on_ratings import simulate, warm_up
from contenders.walk import simulate as simulate_walk
from ppl_ext.factorization import MatrixFactorization

__all__ = [
    "grow_devices",
    "grow_dimension",
    "grow_draws",
    "grow_ratings",
    "grow_rows",
    "grow_simulations",
]

FACTORS, TERMS = 32, 5


class _Host:
    """A host and its room, for models that both write alike."""

    def __init__(self, name: str) -> None:
        self.room = importlib.import_module(f"ppl_ext.{name}")
        self.ppl = importlib.import_module(name)
        self.dist = importlib.import_module(f"{name}.distributions")
        if name == "numpyro":
            import jax

            self.key: tuple[Any, ...] = (jax.random.key(0),)
            self.array: Callable[[np.ndarray], Any] = np.asarray
        else:
            import torch

            torch.set_default_dtype(torch.float64)
            self.key, self.array = (), torch.as_tensor

    def regression(self, x: Any, y: Any = None) -> None:
        """Rows of a linear regression with a learned noise."""
        sample, dist = self.ppl.sample, self.dist
        with self.ppl.plate("term", TERMS):
            beta = sample("beta", dist.Normal(0.0, 10.0))
        scale = sample("scale", dist.HalfNormal(5.0))
        with self.ppl.plate("row", len(x)):
            sample("y", dist.Normal(x @ beta, scale), obs=y)

    def walk(self, y: Any) -> None:
        """A random walk seen with noise, of as many latents as there are data."""
        prior = self.dist.Normal(0.0, 1.0).expand([len(y)]).to_event(1)
        x = self.ppl.sample("x", prior)
        self.ppl.factor("steps", x[:-1] @ x[1:] - 0.5 * (x[:-1] @ x[:-1]))
        self.ppl.sample("y", self.dist.Normal(x, 1.0).to_event(1), obs=y)

    def fit(self, model: Any, *data: np.ndarray, guide: str = "AutoFullRank") -> Any:
        """`fit` with a guide and nothing after it."""
        arrays = map(self.array, data)
        chosen = getattr(self.room, guide)
        return self.room.fit(*self.key, model, *arrays, guide=chosen, progress_bar=False)


def follow(sizes: Iterable[int], make: Callable[[int], Callable[[], Any]]) -> list[float]:
    """CPU seconds of a call for each size, the least of two after one that compiles."""
    found = []
    for size in sizes:
        call, spent = make(size), []
        for _ in range(3):
            began = time.process_time()
            call()
            spent.append(time.process_time() - began)
        found.append(min(spent[1:]))
    return found


def draw_rows(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Data of the regression."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, TERMS))
    return x, x @ np.arange(float(TERMS)) + rng.normal(size=rows)


def grow_rows(host: str, sizes: list[int]) -> dict[str, Any]:
    """A fit against the number of rows."""
    inside = _Host(host)

    def make(rows: int) -> Callable[[], Any]:
        data = draw_rows(rows)
        return lambda: inside.fit(inside.regression, *data)

    return {"cpu": follow(sizes, make)}


def grow_dimension(host: str, sizes: list[int], guide: str) -> dict[str, Any]:
    """A fit against the number of latents."""
    inside = _Host(host)

    def make(dim: int) -> Callable[[], Any]:
        y = simulate_walk(dim)
        return lambda: inside.fit(inside.walk, y, guide=guide)

    return {"cpu": follow(sizes, make)}


def grow_draws(host: str, sizes: list[int]) -> dict[str, Any]:
    """Draws with both densities against their number."""
    inside = _Host(host)
    fitted = inside.fit(inside.regression, *draw_rows(200))
    return {"cpu": follow(sizes, lambda count: lambda: fitted.draws(*inside.key, count))}


def grow_simulations(host: str, sizes: list[int]) -> dict[str, Any]:
    """Simulations of a model against their number."""
    inside = _Host(host)
    x, y = map(inside.array, draw_rows(20))
    npe = importlib.import_module(f"ppl_ext.{host}.npe").NPE(inside.regression, x, y)

    def make(count: int) -> Callable[[], Any]:
        return lambda: npe.simulate(*inside.key, count, progress_bar=False)

    return {"cpu": follow(sizes, make)}


def grow_ratings(sizes: list[int]) -> dict[str, Any]:
    """A sweep against the number of ratings, from the difference of a long and a short fit."""
    warm_up()
    every, more = simulate(max(sizes)), 4

    def fit(ratings: Any, sweeps: int) -> float:
        model = MatrixFactorization(FACTORS, max_sweeps=sweeps, tolerance=0, num_threads=1)
        began = time.process_time()
        model.fit(ratings, progress_bar=False)
        return time.process_time() - began

    found = []
    for size in sizes:
        # Users grow with their ratings, so that each rates as many items.
        ratings = every if size == max(sizes) else simulate(size)
        found.append(min(fit(ratings, 1 + more) - fit(ratings, 1) for _ in range(2)) / more)
    return {"cpu": found}


def grow_devices(host: str, sizes: list[int], count: int) -> dict[str, Any]:
    """A sweep on JAX over so many devices of one process: all their CPU seconds."""
    import jax

    room = importlib.import_module(f"ppl_ext.{host}.factorization")
    ratings = simulate(count)

    def fit(devices: int, sweeps: int) -> float:
        model = MatrixFactorization(16, max_sweeps=sweeps, tolerance=0)
        began = time.process_time()
        chosen = jax.devices()[:devices]
        room.fit_on_devices(model, ratings, devices=chosen, progress_bar=False)
        return time.process_time() - began

    found = []
    for devices in sizes:
        fit(devices, 2)
        found.append((fit(devices, 5) - fit(devices, 1)) / 4)
    return {"cpu": found}
