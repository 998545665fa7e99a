"""Bounds of small programs with discrete sites, by enumeration.

The programs themselves stand in ``tests/rooms/discrete_programs.py``.
"""

import itertools
from collections.abc import Callable

import numpy as np
from scipy import special, stats

Params = dict[str, np.ndarray]

X = np.array([0.3, -1.2, 2.0])
CLASSES = np.arange(3.0)
PARAMS = {
    "w": np.array([-1.0, 0.0, 2.0]),
    "prior": np.array([0.1, 0.3, -0.2]),
    "a_logit": np.array(0.2),
    "z_logits": np.array([[0.1, -0.3, 0.2], [1.0, 0.0, 0.0], [0.0, 0.5, -0.5]]),
    "y_logits": np.array([0.3, -0.6, 0.4]),
    "m_loc": np.array(0.1),
}


def log_bernoulli(value: int, logit: float) -> float:
    """Log-probability of a coin."""
    return -np.log1p(np.exp(-logit if value else logit))


def enumerate_joint(p: Params) -> float:
    """Return the bound of ``joint`` by summing over a, z and y, the Normal in closed form."""
    total = -0.5 * (p["m_loc"] ** 2 + 0.25 - 1) + np.log(0.5)  # of m
    for a in (0, 1):
        q_a = log_bernoulli(a, p["a_logit"])
        inner = stats.bernoulli.logpmf(a, 0.4) - q_a
        for row, k, y in itertools.product(range(3), range(3), (0, 1)):
            q_z = special.log_softmax(p["z_logits"][row] + 0.5 * a * CLASSES)[k]
            q_y = log_bernoulli(y, p["y_logits"][k])
            mean = p["w"][k] + 0.7 * y + 0.5 * a + p["m_loc"]
            weight = (
                special.log_softmax(p["prior"])[k]
                + log_bernoulli(y, k - 1.0)
                + stats.norm.logpdf(X[row], mean, 1)
                - 0.125
            )
            inner += np.exp(q_z + q_y) * (weight - q_z - q_y)
        total += np.exp(q_a) * inner
    return total


def enumerate_single(p: Params, rows: tuple[float, ...] = (1.0, 1.0, 1.0)) -> float:
    """Return the bound of ``single``, each row with a weight."""
    q, prior = special.log_softmax(p["z_logits"], -1), special.log_softmax(p["prior"])
    weight = prior + stats.norm.logpdf(X[:, None], p["w"], 1) - q
    return (np.array(rows)[:, None] * np.exp(q) * weight).sum()


def enumerate_pairs(p: Params) -> float:
    """Return the bound of two draws of ``single``, row by row."""
    q = special.log_softmax(p["z_logits"], -1)
    weight = special.log_softmax(p["prior"]) + stats.norm.logpdf(X[:, None], p["w"], 1) - q
    pairs = np.logaddexp(weight[:, :, None], weight[:, None]) - np.log(2)
    return (np.exp(q[:, :, None] + q[:, None]) * pairs).sum()


def enumerate_meeting(p: Params) -> float:
    """Return the bound of ``meeting``: two rows of z, and one number that hangs on both."""
    q, total = special.log_softmax(p["z_logits"], -1), 0.0
    for i, j in itertools.product(range(3), repeat=2):
        log_q = q[0, i] + q[1, j]
        log_p = -2 * np.log(3) + stats.norm.logpdf(0.5, p["w"][i] * p["w"][j] + p["w"][i], 1)
        total += np.exp(log_q) * (log_p - log_q)
    return total


def slopes(function: Callable[[Params], float], params: Params, step: float = 1e-5) -> Params:
    """Return central differences."""
    found = {}
    for name, value in params.items():
        found[name] = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            moved = [
                function({**params, name: value + side * step * _unit(value, index)})
                for side in (1, -1)
            ]
            found[name][index] = (moved[0] - moved[1]) / (2 * step)
    return found


def _unit(value: np.ndarray, index: tuple[int, ...]) -> np.ndarray:
    unit = np.zeros_like(value)
    unit[index] = 1.0
    return unit
