"""What the tasks of the benchmark have in common for both hosts.

The tasks are those of the benchmark for simulation-based inference whose simulator has a density.
All of them have the sites ``theta`` and ``x``; numbers that only one model needs stand in it.

References:
    Lueckmann, J.-M., Boelts, J., Greenberg, D., Goncalves, P. and Macke, J. (2021). Benchmarking
    simulation-based inference. AISTATS. arXiv:2101.04653.
    Papamakarios, G., Sterratt, D. and Murray, I. (2019). Sequential neural likelihood: fast
    likelihood-free inference with autoregressive flows. AISTATS. arXiv:1805.07226 (SLCP).
"""

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["DESIGN", "GLM_PRECISION", "STIMULUS", "TASKS", "Task"]


@dataclass(frozen=True)
class Task:
    """Shapes of a task: of its site ``theta`` and of its site ``x``."""

    dim: int
    x_shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """The entries of ``x``."""
        return math.prod(self.x_shape)


TASKS = {
    "two_moons": Task(2, (2,)),
    "slcp": Task(5, (4, 2)),
    "gaussian_mixture": Task(2, (2,)),
    "gaussian_linear": Task(10, (10,)),
    "gaussian_linear_uniform": Task(10, (10,)),
    "bernoulli_glm": Task(10, (100,)),
}


def _filter_precision(size: int) -> np.ndarray:
    """Precision of a filter whose second differences are small, more so at late lags."""
    difference = np.eye(size) - np.eye(size, k=-1)
    root = difference @ difference + np.diag(np.sqrt(np.arange(size) / size))
    return root.T @ root


# A neuron sees white noise, frozen once for all, through a filter of nine lags and an offset.
STIMULUS = np.random.RandomState(42).randn(100)
DESIGN = np.ones((100, 10))
for _lag in range(9):
    DESIGN[:, 1 + _lag] = np.concatenate([np.zeros(_lag), STIMULUS[: 100 - _lag]])
GLM_PRECISION = np.zeros((10, 10))
GLM_PRECISION[0, 0] = 0.5
GLM_PRECISION[1:, 1:] = _filter_precision(9)
