"""What is killed, interrupted and starved: ``python -m mishaps.victims PART HOST FOLDER``.

Each part says ``ready`` where its work begins, goes on from what it finds in the folder, and
leaves its answer there as ``answer.npz``.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ppl_ext.commands.cli import main as run_command
from ppl_ext.factorization import load_factors
from ppl_ext.simulation import BlackBox, open_simulations, run_simulations
from ppl_ext.training.state_file import StateFile

__all__ = ["PARTS", "open_host"]

ROWS, BATCH = 2_000, 50


def open_host(name: str) -> SimpleNamespace:
    """A host, its room, and how a random function is called there."""
    ppl, room = importlib.import_module(name), importlib.import_module(f"ppl_ext.{name}")
    if name == "pyro":
        torch = importlib.import_module("torch")

        def array(values: np.ndarray) -> Any:
            return torch.as_tensor(np.asarray(values, np.float32))

        def call(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
            ppl.set_rng_seed(0)
            return function(*args, **options)
    else:
        jax = importlib.import_module("jax")
        array = jax.numpy.asarray

        def call(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
            return function(jax.random.key(0), *args, **options)

    dist = importlib.import_module(f"{name}.distributions")
    return SimpleNamespace(name=name, ppl=ppl, room=room, dist=dist, array=array, call=call)


def _keep(folder: Path, **arrays: Any) -> None:
    np.savez(folder / "answer.npz", **arrays)


def _say_ready() -> None:
    print("ready", flush=True)


def minibatches(host: str, folder: Path) -> None:
    """`fit_minibatches` with a checkpoint."""
    inside = open_host(host)
    ppl, dist = inside.ppl, inside.dist

    def model(x: Any) -> None:
        mean = ppl.sample("mean", dist.Normal(0.0, 10.0))
        with ppl.plate("rows", ROWS, subsample_size=len(x)):
            ppl.sample("x", dist.Normal(mean, 1.0), obs=x)

    x = np.random.default_rng(0).normal(1.5, 1.0, ROWS).astype(np.float32)
    _say_ready()
    fitted = inside.call(
        inside.room.fit_minibatches,
        model,
        inside.room.AutoFullRank(model),
        inside.room.Minibatches(x, batch_size=BATCH),
        settings=inside.room.MinibatchSettings(step_size=0.01, max_epochs=60),
        checkpoint=folder / "kept.safetensors",
        progress_bar=False,
    )
    _keep(folder, losses=fitted.log.losses, best=fitted.log.best, reason=fitted.log.reason)


def npe(host: str, folder: Path) -> None:
    """`NPE.train` with a checkpoint."""
    inside = open_host(host)

    def model(y: Any) -> None:
        mu = inside.ppl.sample("mu", inside.dist.Normal(0.0, 1.0))
        with inside.ppl.plate("rows", 3):
            inside.ppl.sample("y", inside.dist.Normal(mu, 1.0), obs=y)

    learner = inside.room.NPE(model, inside.array(np.zeros(3)))
    _say_ready()
    learner = inside.call(
        learner.train,
        2_000,
        settings=inside.room.npe.Training(num_members=1, max_epochs=12),
        checkpoint=folder / "kept.safetensors",
        progress_bar=False,
    )
    log = learner.log
    _keep(folder, losses=log.losses, held_out=log.held_out, reason=log.reason)


def fit(host: str, folder: Path) -> None:
    """`fit`, which takes no checkpoint: it is interrupted alone."""
    inside = open_host(host)

    def model(x: Any, y: Any) -> None:
        b = inside.ppl.sample("b", inside.dist.Normal(inside.array(np.zeros(20)), 1.0).to_event(1))
        with inside.ppl.plate("rows", 500):
            inside.ppl.sample("y", inside.dist.StudentT(3.0, x @ b, 1.0), obs=y)

    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 20)).astype(np.float32)
    y = (x.sum(1) + rng.normal(size=500)).astype(np.float32)
    _say_ready()
    options = {"optimizer": inside.room.Stochastic(max_steps=3_000), "num_starts": 1}
    fitted = inside.call(
        inside.room.fit,
        model,
        inside.array(x),
        inside.array(y),
        guide=inside.room.AutoMeanField,
        progress_bar=False,
        **options,
    )
    _keep(folder, losses=fitted.log.losses, reason=fitted.log.reason)


def factorize(_: str, folder: Path) -> None:
    """The command, which goes on from its checkpoint by ``--start``."""
    kept = folder / "checkpoint.safetensors"
    start = ["--start", str(kept)] if kept.exists() else []
    _say_ready()
    status = run_command(["factorize", "--out", str(folder), "--threads", "1", *start])
    if status:
        sys.exit(status)
    factors = load_factors(folder / "factors.safetensors")
    reason = np.array(factors.log.reason)
    tables = {"users": factors.users.table, "items": factors.items.table}
    _keep(folder, **tables, elbo=factors.elbo, reason=reason)


def simulation(_: str, folder: Path) -> None:
    """A table of a slow simulator on disk."""

    def prior(first_row: int, size: int) -> dict[str, np.ndarray]:
        return {"mu": np.arange(first_row, first_row + size, dtype=float)}

    def simulate(values: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
        return rng.normal(values["mu"], size=20_000)[:50]

    _say_ready()
    run_simulations(BlackBox(prior, simulate), 5_000, folder=folder / "table", progress_bar=False)
    found = open_simulations(folder / "table")
    _keep(folder, mu=np.array(found.latent["mu"]), x=np.array(next(iter(found.observed.values()))))


def checkpoint(_: str, folder: Path) -> None:
    """One checkpoint after the other, each of another generation."""
    file = StateFile("train", "state", folder / "kept.safetensors", {"the seed": 0})
    found = file.read()
    start = 0
    if found is not None:
        start = int(found[1]["step"])
        if not (found[0]["learner"]["w"] == start).all():
            sys.exit("the checkpoint holds two generations")
    _say_ready()
    for step in range(start, start + 200):
        file.write({"learner": {"w": np.full(200_000, step)}}, {"step": step})
    _keep(folder, reason=np.array("written"))


PARTS = {
    each.__name__: each for each in (minibatches, npe, fit, factorize, simulation, checkpoint)
}

if __name__ == "__main__":
    part, host, folder = sys.argv[1:]
    PARTS[part](host, Path(folder))
