"""Normal means with one datum each, whose posterior N(x/2, 1/2) is known, right or spoilt."""

from dataclasses import dataclass

import numpy as np

SD = np.sqrt(0.5)


@dataclass(frozen=True)
class Simulations:
    """Truths ``[simulation, dim]``, data alike, draws ``[simulation, draw, dim]``, densities."""

    truths: np.ndarray
    data: np.ndarray
    draws: np.ndarray
    log_q_truth: np.ndarray
    log_q_draws: np.ndarray


def draw_posterior(rng, x, draws, scale=1.0, shift=0.0, correlation=0.0, prior=False):
    """Draws ``[..., draw, dim]`` of a posterior that is too wide, shifted, or no posterior."""
    dim = x.shape[-1]
    root = np.linalg.cholesky((1 - correlation) * np.eye(dim) + correlation)
    noise = rng.normal(size=(*x.shape[:-1], draws, dim)) @ root.T
    mean, sd = (0 * x, 1.0) if prior else (x / 2 + shift * SD, scale * SD)
    return mean[..., None, :] + sd * noise


def simulate_normals(seed=0, count=200, draws=99, dim=2, **wrong):
    rng = np.random.default_rng(seed)
    truths = rng.normal(size=(count, dim))
    data = rng.normal(truths)
    drawn = draw_posterior(rng, data, draws, **wrong)
    # Up to a constant that plays no part.
    correlation = wrong.get("correlation", 0.0)
    precision = np.linalg.inv((1 - correlation) * np.eye(dim) + correlation)
    prior = wrong.get("prior", False)
    mean = 0 * data if prior else data / 2 + wrong.get("shift", 0.0) * SD
    sd = 1.0 if prior else wrong.get("scale", 1.0) * SD
    off_truth, off_draws = (truths - mean) / sd, (drawn - mean[:, None]) / sd
    at_truth = -((off_truth @ precision) * off_truth).sum(-1) / 2
    at_draws = -((off_draws @ precision) * off_draws).sum(-1) / 2
    return Simulations(truths, data, drawn, at_truth, at_draws)
