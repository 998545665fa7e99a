"""Neural posterior estimation by this package in NumPyro, its models as simulators."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from measuring import clock

import ppl_ext.numpyro as px
from models.simulation_tasks.data import TASKS
from models.simulation_tasks.on_numpyro import MODELS

__all__ = ["learn"]


def learn(name: str, seed: int, pairs: str, draws: str, count: int) -> dict[str, Any]:
    """Train on the pairs of a file, write draws for its observations and return the figures.

    Args:
        name: The task.
        seed: Of the training.
        pairs: File with ``theta``, ``x``, ``theta_test``, ``x_test`` and maybe ``observations``.
        draws: File to write, ``plain[observation, draw, dim]``.
        count: Draws for each observation.
    """
    data, shape = np.load(pairs), TASKS[name].x_shape

    def see(x: np.ndarray) -> dict[str, jax.Array]:
        return {"x": jnp.asarray(x, jnp.float32).reshape(-1, *shape)}

    npe = px.NPE(MODELS[name], observed=["x"])
    simulations = {"theta": jnp.asarray(data["theta"])}, see(data["x"])
    posterior, fit_cpu = clock(lambda: npe.train(jax.random.key(seed), simulations=simulations))
    log_density = posterior.log_prob({"theta": data["theta_test"]}, see(data["x_test"]))
    figures = {"fit_cpu": fit_cpu, "log_density": float(np.mean(np.asarray(log_density, float)))}
    if "observations" in data:
        keys = jax.random.split(jax.random.key(seed + 1), len(data["observations"]))

        def answer(key: jax.Array, x: np.ndarray) -> np.ndarray:
            seen = {"x": see(x)["x"][0]}
            return np.asarray(posterior(seen).draws(key, count).values["theta"])

        found, figures["draw_cpu"] = clock(
            lambda: [answer(key, x) for key, x in zip(keys, data["observations"], strict=True)]
        )
        np.savez(draws, plain=np.stack(found))
    return figures
