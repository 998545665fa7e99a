"""Neural posterior estimation by `sbi` at its defaults, in an environment of its own.

This file imports nothing of the package, so that a Python that has `sbi` alone can run it.
"""

import math
import tempfile
import time
from typing import Any

import numpy as np
import torch
from measuring import clock, peak_memory
from sbi.inference import NPE
from sbi.utils import BoxUniform
from torch.distributions import Distribution, MultivariateNormal
from torch.utils.tensorboard import SummaryWriter

from models.simulation_tasks.data import GLM_PRECISION

__all__ = ["learn"]

BOUNDS = {
    "two_moons": (2, 1.0),
    "slcp": (5, 3.0),
    "gaussian_mixture": (2, 10.0),
    "gaussian_linear_uniform": (10, 1.0),
}
PRECISIONS = {"gaussian_linear": 10 * np.eye(10), "bernoulli_glm": GLM_PRECISION}
LEAK_PAIRS, LEAK_DRAWS = 500, 200
MANY = 1_000  # observations, and draws for each
PATIENCE = 300.0  # wall seconds of rejections for one observation


def learn(
    name: str,
    method: str,
    seed: int,
    pairs: str,
    draws: str,
    count: int,
    max_epochs: int | None = None,
) -> dict[str, Any]:
    """Train on the pairs of a file, write draws for its observations and return the figures.

    Args:
        name: The task.
        method: ``"maf"`` or ``"nsf"``.
        seed: Of PyTorch.
        pairs: File with ``theta``, ``x``, ``theta_test``, ``x_test`` and maybe ``observations``.
        draws: File to write, ``plain[observation, draw, dim]``.
        count: Draws for each observation.
        max_epochs: Most epochs; as many as its own rule wants if None.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    data = {key: torch.as_tensor(value).float() for key, value in np.load(pairs).items()}
    with tempfile.TemporaryDirectory() as folder:  # or it leaves its logs in this one
        inference = NPE(
            make_prior(name),
            density_estimator=method,
            summary_writer=SummaryWriter(folder),
            show_progress_bars=False,
        )
        inference.append_simulations(data["theta"], data["x"])
        limit = {} if max_epochs is None else {"max_num_epochs": max_epochs}
        estimator, fit_cpu = clock(lambda: inference.train(**limit))
    peak = peak_memory()
    posterior = inference.build_posterior(estimator)
    log_density = score(estimator, data["theta_test"], data["x_test"])
    figures = {
        "fit_cpu": fit_cpu,
        "peak_mib": peak,
        "many_cpu": clock(lambda: draw_many(estimator, data["x_test"][:MANY]))[1],
        "log_density": log_density,
        "log_density_with_rejection": log_density + measure_leak(name, estimator, data["x_test"]),
        "epochs": int(inference.summary["epochs_trained"][-1]),
        "parameters": sum(each.numel() for each in estimator.parameters()),
    }
    if "observations" in data:
        found, figures["draw_cpu"] = clock(
            lambda: [draw(posterior, x, count) for x in data["observations"]]
        )
        np.savez(draws, plain=np.stack(found))
    return figures


def make_prior(name: str) -> Distribution:
    if name in BOUNDS:
        dim, bound = BOUNDS[name]
        return BoxUniform(-bound * torch.ones(dim), bound * torch.ones(dim))
    precision = torch.as_tensor(PRECISIONS[name]).float()
    return MultivariateNormal(torch.zeros(len(precision)), precision_matrix=precision)


@torch.no_grad()
def score(estimator: Any, theta: torch.Tensor, x: torch.Tensor) -> float:
    """Mean log density of the estimator itself, mass outside of the prior included."""
    batches = zip(theta.split(1000), x.split(1000), strict=True)
    values = [estimator.log_prob(part[None], condition=given)[0] for part, given in batches]
    return torch.cat(values).double().mean().item()


@torch.no_grad()
def measure_leak(name: str, estimator: Any, x: torch.Tensor) -> float:
    """Mean of minus the log of the mass inside of the prior: nats that rejection gains."""
    if name not in BOUNDS:
        return 0.0
    bound = BOUNDS[name][1]
    inside = []
    for part in x[:LEAK_PAIRS].split(50):
        found = estimator.sample((LEAK_DRAWS,), condition=part)
        inside.append((found.abs() <= bound).all(-1).double().sum(0))
    return -((torch.cat(inside) + 0.5) / (LEAK_DRAWS + 1)).log().mean().item()


@torch.no_grad()
def draw_many(estimator: Any, x: torch.Tensor) -> None:
    """As many draws as there are observations for each of them, without rejection."""
    for part in x.split(50):
        estimator.sample((MANY,), condition=part)


def draw(posterior: Any, x: torch.Tensor, count: int) -> np.ndarray:
    """Draws inside of the prior; NaN where rejection does not come to an end."""
    began = time.monotonic()
    try:
        found = posterior.sample(
            (count,), x=x, show_progress_bars=False, max_sampling_time=PATIENCE
        )
    except RuntimeError:
        if time.monotonic() - began < PATIENCE:
            raise
        return np.full((count, len(posterior.prior.sample())), math.nan, np.float32)
    return found.numpy()
