"""Neural posterior estimation by this package in Pyro, its models as simulators."""

from typing import Any

import numpy as np
import pyro
import torch
from measuring import clock

import ppl_ext.pyro as px
from models.simulation_tasks.data import TASKS
from models.simulation_tasks.on_pyro import MODELS

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
    torch.set_num_threads(1)
    pyro.set_rng_seed(seed)
    data, shape = np.load(pairs), TASKS[name].x_shape

    def see(x: np.ndarray) -> dict[str, torch.Tensor]:
        return {"x": torch.as_tensor(x).float().reshape(-1, *shape)}

    npe = px.NPE(MODELS[name], observed=["x"])
    simulations = {"theta": torch.as_tensor(data["theta"])}, see(data["x"])
    posterior, fit_cpu = clock(lambda: npe.train(simulations=simulations))
    held_out = {"theta": torch.as_tensor(data["theta_test"])}, see(data["x_test"])
    log_density = posterior.log_prob(*held_out)
    figures = {"fit_cpu": fit_cpu, "log_density": float(np.mean(np.asarray(log_density, float)))}
    if "observations" in data:

        def answer(x: np.ndarray) -> np.ndarray:
            seen = {"x": see(x)["x"][0]}
            return np.asarray(posterior(seen).draws(count).values["theta"])

        found, figures["draw_cpu"] = clock(lambda: [answer(x) for x in data["observations"]])
        np.savez(draws, plain=np.stack(found))
    return figures
