"""Functions of a few discrete variables, whose gradients are known by enumeration."""

from dataclasses import dataclass

import numpy as np

__all__ = ["PROBLEMS", "Problem", "evaluate"]


@dataclass(frozen=True)
class Problem:
    """Logits ``(variable, class)``, and the weights of a quadratic form or of a network."""

    logits: np.ndarray
    weights: tuple[np.ndarray, ...]  # one: a form on all classes; two: the layers of a network


def evaluate(problem, z, weights, tanh):
    """The function at draws ``(*draws, variable, class)``, in the host's arrays."""
    flat = z.reshape(*z.shape[:-2], problem.logits.size)
    if len(weights) == 1:
        return ((flat @ weights[0]) * flat).sum(-1) / 2
    inner, outer = weights
    return tanh(flat @ inner) @ outer


def _quadratic(classes: int) -> Problem:
    rng = np.random.default_rng(0)
    form = rng.normal(size=(classes, classes))
    return Problem(rng.normal(size=(1, classes)), ((form + form.T) / 2,))


def _network(variables: int, classes: int, scale: float) -> Problem:
    rng = np.random.default_rng(1)
    inner = rng.normal(size=(variables * classes, 16))
    logits = scale * rng.normal(size=(variables, classes))
    return Problem(logits, (inner, rng.normal(size=16)))


PROBLEMS = {
    "quadratic form, one variable of 10 classes": _quadratic(10),
    "network, 4 variables of 4 classes": _network(4, 4, 1.0),
    "network, 4 variables of 4 classes, peaked": _network(4, 4, 3.0),
    "network, one variable of 100 classes": _network(1, 100, 1.0),
}
