"""Pairs of parameters and data of the tasks in ``models/simulation_tasks``, by NumPy.

Every contender learns from the same pairs, so they are drawn here and not by a host.
"""

from collections.abc import Callable

import numpy as np

from models.simulation_tasks.data import DESIGN, GLM_PRECISION, TASKS

__all__ = ["HELD_OUT", "draw_held_out", "draw_pairs", "simulate"]

HELD_OUT = 10_000


def draw_pairs(name: str, budget: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and data to learn from, ``[budget, dim]`` and ``[budget, width]``."""
    return simulate(name, np.random.default_rng([seed, budget]), budget)


def draw_held_out(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The pairs that every run of a task is scored on, whatever its seed and budget."""
    return simulate(name, np.random.default_rng([2**31, 1]), HELD_OUT)


def simulate(
    name: str, generator: np.random.Generator, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw parameters from the prior and data given them, in float32 and both flat."""
    theta, x = SIMULATORS[name](generator, count)
    task = TASKS[name]
    return (
        theta.reshape(count, task.dim).astype(np.float32),
        x.reshape(count, task.width).astype(np.float32),
    )


def two_moons(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    theta = generator.uniform(-1, 1, (count, 2))
    angle = generator.uniform(-np.pi / 2, np.pi / 2, count)
    radius = generator.normal(0.1, 0.01, count)
    along, across = theta.sum(1) / np.sqrt(2), (theta[:, 1] - theta[:, 0]) / np.sqrt(2)
    x = [radius * np.cos(angle) + 0.25 - np.abs(along), radius * np.sin(angle) + across]
    return theta, np.stack(x, axis=1)


def slcp(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    theta = generator.uniform(-3, 3, (count, 5))
    first, second = generator.normal(size=(2, count, 4))
    correlation = np.tanh(theta[:, 4:])
    scales = theta[:, 2:4] ** 2
    mixed = correlation * first + np.sqrt(1 - correlation**2) * second
    noise = np.stack([scales[:, :1] * first, scales[:, 1:] * mixed], axis=-1)
    return theta, theta[:, None, :2] + noise


def gaussian_mixture(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    theta = generator.uniform(-10, 10, (count, 2))
    scale = np.where(generator.random((count, 1)) < 0.5, 1.0, 0.1)
    return theta, generator.normal(theta, scale)


def gaussian_linear(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    theta = generator.normal(0, np.sqrt(0.1), (count, 10))
    return theta, generator.normal(theta, np.sqrt(0.1))


def gaussian_linear_uniform(
    generator: np.random.Generator, count: int
) -> tuple[np.ndarray, np.ndarray]:
    theta = generator.uniform(-1, 1, (count, 10))
    return theta, generator.normal(theta, np.sqrt(0.1))


def bernoulli_glm(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    lower = np.linalg.cholesky(GLM_PRECISION)
    theta = np.linalg.solve(lower.T, generator.normal(size=(10, count))).T
    fires = 1 / (1 + np.exp(-(theta @ DESIGN.T)))
    return theta, generator.random(fires.shape) < fires


SIMULATORS: dict[str, Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]] = {
    "two_moons": two_moons,
    "slcp": slcp,
    "gaussian_mixture": gaussian_mixture,
    "gaussian_linear": gaussian_linear,
    "gaussian_linear_uniform": gaussian_linear_uniform,
    "bernoulli_glm": bernoulli_glm,
}
