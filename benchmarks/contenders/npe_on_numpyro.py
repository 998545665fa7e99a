"""Neural posterior estimation by this package in NumPyro, its models as simulators."""

from typing import Any

import jax
import numpy as np
from measuring import clock, peak_memory

import ppl_ext.numpyro as px
from models.simulation_tasks.data import TASKS
from models.simulation_tasks.on_numpyro import MODELS

__all__ = ["learn"]

MANY = 1_000  # observations, and draws for each


def learn(
    name: str, seed: int, pairs: str, draws: str, count: int, max_epochs: int = 1000
) -> dict[str, Any]:
    """Train on the pairs of a file, write draws for its observations and return the figures.

    Args:
        name: The task.
        seed: Of the training.
        pairs: File with ``theta``, ``x``, ``theta_test``, ``x_test`` and maybe ``observations``.
        draws: File to write, ``plain[observation, draw, dim]`` and ``corrected``, the same.
        count: Draws for each observation.
        max_epochs: Most epochs.
    """
    data, shape = np.load(pairs), TASKS[name].x_shape

    def see(x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, *shape)

    npe = px.NPE(MODELS[name], observed="x")
    table = {"theta": data["theta"]}, {"x": see(data["x"])}
    key = jax.random.key(seed)
    settings = px.npe.Training(max_epochs=max_epochs)
    _, fit_cpu = clock(
        lambda: npe.train(key, simulations=table, settings=settings, progress_bar=False)
    )
    figures: dict[str, Any] = {"fit_cpu": fit_cpu, "peak_mib": peak_memory()}
    many = see(data["x_test"][:MANY])
    figures["many_cpu"] = clock(lambda: npe.posterior(many).sample(key, MANY))[1]
    held_out = npe.posterior(see(data["x_test"]))
    log_density = held_out.log_prob({"theta": data["theta_test"][:, None]})
    figures["log_density"] = float(log_density.mean())
    if "observations" not in data:
        return figures
    seen = see(data["observations"])
    plain, figures["draw_cpu"] = clock(lambda: npe.posterior(seen).sample(key, count)["theta"])
    wanted = px.Correction(ess=count)

    def correct() -> list[np.ndarray]:
        answers = [npe.posterior(x).correct(key, wanted, progress_bar=False) for x in seen]
        return [answer.draws.values["theta"][:count] for answer in answers]

    corrected, figures["correct_cpu"] = clock(correct)
    np.savez(draws, plain=plain, corrected=np.stack(corrected))
    return figures
