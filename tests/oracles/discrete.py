"""The discrete family as mpmath, SciPy and enumeration know it: one row for each distribution.

A row has the class's name, its arguments, values, their log-densities, and bad arguments with the
word by which the refusal is known.
"""

from dataclasses import dataclass, field
from typing import Any

import mpmath as mp
import numpy as np
from scipy import stats

mp.mp.dps = 40

LOGITS = np.array([0.3, -1.2, 2.0, 0.0])
MASKED = np.array([0.3, -np.inf, 2.0, 0.0])
INTERIOR = np.array([0.1, 0.2, 0.4, 0.3])
FACE = np.array([0.2, 0.0, 0.5, 0.3])


@dataclass(frozen=True)
class Row:
    """A distribution with known log-densities at known values."""

    name: str
    arguments: dict[str, Any]
    values: np.ndarray  # (value, *event)
    log_density: np.ndarray  # (value,)
    bad: list[tuple[dict[str, Any], str]] = field(default_factory=list)


def concrete_log_density(logits, temperature, log_x) -> float:
    """Density of the log-ratios, Maddison et al. equation 22, on the face of possible classes."""
    pairs = [
        (mp.mpf(float(a)), mp.mpf(float(b)))
        for a, b in zip(logits, log_x, strict=True)
        if a > -np.inf
    ]
    tau, count = mp.mpf(float(temperature)), len(pairs)
    s = [a - tau * b for a, b in pairs]
    log_sum = mp.log(mp.fsum(mp.exp(each) for each in s))
    constant = mp.loggamma(count) + (count - 1) * mp.log(tau)
    return float(constant + mp.fsum(s) - count * log_sum)


def gumbel_log_density(x):
    return stats.gumbel_r.logpdf(x, 0.5, 2.0)


def _on_simplex(logits, temperature, x) -> float:
    with np.errstate(divide="ignore"):
        log_x = np.log(x)
    return concrete_log_density(logits, temperature, log_x) - log_x[x > 0].sum()


_TEMPERATURES = [
    ({"temperature": bad, "logits": LOGITS}, "temperature") for bad in (0.0, -1.0, np.nan)
]
_WRONG_SHAPE = ({"temperature": np.ones(4), "logits": np.zeros((3, 4))}, "temperature")
_LOGITS = [
    ({"logits": np.full(3, -np.inf)}, "-inf"),
    ({"logits": np.array([1, 2])}, "floating-point"),
    ({"logits": np.array([0.0, np.nan])}, "nan"),
    ({"probs": np.array([0.5, -0.5])}, "probs"),
    ({}, "exactly one"),
]
_RELAXED = [
    *_TEMPERATURES,
    _WRONG_SHAPE,
    *(({"temperature": 0.5, **bad}, word) for bad, word in _LOGITS),
]
_BERNOULLI = [
    *(({**bad, "logits": np.array(0.5)}, word) for bad, word in _TEMPERATURES),
    ({"temperature": np.ones(2), "logits": np.zeros(3)}, "temperature"),
    ({"temperature": 0.5, "logits": np.array(np.inf)}, "logits"),
    ({"temperature": 0.5, "probs": np.array(1.0)}, "probs"),
    ({"temperature": 0.5, "logits": np.array(1)}, "floating-point"),
    ({"temperature": 0.5}, "exactly one"),
]

_Y = np.log(np.stack([INTERIOR, INTERIOR[::-1]]))
_X = np.array([-3.0, 0.5, 40.0])
_Z = np.array([0.05, 0.5, 0.9])
ROWS = [
    Row(
        "Gumbel",
        {"loc": 0.5, "scale": 2.0},
        _X,
        np.array([gumbel_log_density(x) for x in _X]),
        [({"loc": 0.0, "scale": bad}, "scale") for bad in (0.0, -1.0, np.nan)],
    ),
    Row(
        "ExpRelaxedOneHotCategorical",
        {"temperature": 0.7, "logits": LOGITS},
        _Y,
        np.array([concrete_log_density(LOGITS, 0.7, y) for y in _Y]),
        _RELAXED,
    ),
    Row(
        "RelaxedOneHotCategorical",
        {"temperature": 0.7, "logits": LOGITS + 3.0},
        np.exp(_Y),
        np.array([_on_simplex(LOGITS, 0.7, x) for x in np.exp(_Y)]),
        _RELAXED,
    ),
    Row(
        "RelaxedOneHotCategorical",
        {"temperature": 0.7, "logits": MASKED},
        FACE[None],
        np.array([_on_simplex(MASKED, 0.7, FACE)]),
    ),
    Row(
        "RelaxedOneHotCategoricalStraightThrough",
        {"temperature": 0.7, "logits": LOGITS},
        np.exp(_Y),
        np.array([_on_simplex(LOGITS, 0.7, x) for x in np.exp(_Y)]),
        _RELAXED,
    ),
    Row(
        "OneHotCategoricalStraightThrough",
        {"logits": MASKED},
        np.eye(4),
        np.where(-np.inf < MASKED, MASKED - np.log(np.exp(MASKED).sum()), -np.inf),
        _LOGITS,
    ),
    Row(
        "LogitRelaxedBernoulli",
        {"temperature": 0.7, "logits": np.array(1.5)},
        _X,
        stats.logistic.logpdf(_X, 1.5 / 0.7, 1 / 0.7),
        _BERNOULLI,
    ),
    Row(
        "RelaxedBernoulli",
        {"temperature": 0.7, "logits": np.array(1.5)},
        _Z,
        stats.logistic.logpdf(np.log(_Z / (1 - _Z)), 1.5 / 0.7, 1 / 0.7) - np.log(_Z * (1 - _Z)),
        _BERNOULLI,
    ),
]
