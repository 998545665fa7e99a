"""The discrete family as mpmath, SciPy and enumeration know it: a row for each distribution.

A row has the class's name, its arguments, values with their log-densities, what else is known in
closed form, how draws are judged, and bad arguments with the word by which the refusal is known.
``tests/rooms/test_distribution_contract.py`` puts its questions to every row.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import log_softmax, logsumexp, softmax

from tests.oracles.discrete_laws import (
    concrete_entropy,
    concrete_log_density,
    concrete_log_density_on_simplex,
    enumerate_lists,
    is_one_hot,
    is_simplex,
    judge_classes,
    judge_concrete,
    judge_lists,
    log_of,
)

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
    judge: Callable[[np.ndarray], list[float]]  # draws -> p-values
    supports: Callable[[np.ndarray], np.ndarray]  # draws -> whether each is in the support
    known: dict[str, Any] = field(default_factory=dict)  # mean, variance, entropy, mode, median
    is_smooth: bool = True  # whether draws are differentiable functions of the parameters
    bad: list[tuple[dict[str, Any], str]] = field(default_factory=list)


_TEMPERATURES = [
    ({"temperature": bad, "logits": LOGITS}, "temperature") for bad in (0.0, -1.0, np.nan)
]
_WRONG_SHAPE = ({"temperature": np.ones(4), "logits": np.zeros((3, 4))}, "temperature")
_LOGITS = [
    ({"logits": np.full(3, -np.inf)}, "-inf"),
    ({"logits": np.array([1, 2])}, "floating-point"),
    ({"logits": np.array([0.0, np.nan])}, "nan"),
    ({"logits": np.array(0.0)}, "classes along the last axis"),
    ({"probs": np.array([0.5, -0.5])}, "probs"),
    ({}, "exactly one"),
]
_RELAXED = [
    *_TEMPERATURES,
    _WRONG_SHAPE,
    ({"temperature": "warm", "logits": LOGITS}, "temperature is 'warm'"),
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
_GUMBEL = stats.gumbel_r(0.5, 2.0)
_LOGISTIC = stats.logistic(1.5 / 0.7, 1 / 0.7)
_LISTS = enumerate_lists(MASKED, 2)
_PROBS = softmax(MASKED)
ROWS = [
    Row(
        "Gumbel",
        {"loc": 0.5, "scale": 2.0},
        _X,
        _GUMBEL.logpdf(_X),
        judge=lambda x: [stats.kstest(x, _GUMBEL.cdf).pvalue],
        supports=np.isfinite,
        known={
            "mean": _GUMBEL.mean(),
            "variance": _GUMBEL.var(),
            "entropy": _GUMBEL.entropy(),
            "mode": 0.5,
            "median": _GUMBEL.median(),
        },
        bad=[({"loc": 0.0, "scale": bad}, "scale") for bad in (0.0, -1.0, np.nan)],
    ),
    Row(
        "ExpRelaxedOneHotCategorical",
        {"temperature": 0.7, "logits": LOGITS},
        _Y,
        np.array([concrete_log_density(LOGITS, 0.7, y) for y in _Y]),
        judge=lambda y: judge_concrete(y, LOGITS, 0.7),
        supports=lambda y: np.abs(logsumexp(y, axis=-1)) < 1e-6,
        known={"entropy": concrete_entropy(4, 0.7), "probs": softmax(LOGITS)},
        bad=_RELAXED,
    ),
    Row(
        "ExpRelaxedOneHotCategorical",
        {"temperature": 0.7, "logits": MASKED},
        log_of(FACE)[None],
        np.array([concrete_log_density(MASKED, 0.7, log_of(FACE))]),
        judge=lambda y: judge_concrete(y, MASKED, 0.7),
        supports=lambda y: (y[:, 1] == -np.inf) & (np.abs(logsumexp(y, axis=-1)) < 1e-6),
        known={"entropy": concrete_entropy(3, 0.7), "probs": softmax(MASKED)},
    ),
    Row(
        "RelaxedOneHotCategorical",
        {"temperature": 0.7, "logits": LOGITS + 3.0},
        np.exp(_Y),
        np.array([concrete_log_density_on_simplex(LOGITS, 0.7, x) for x in np.exp(_Y)]),
        judge=lambda x: judge_concrete(log_of(x), LOGITS, 0.7),
        supports=is_simplex,
        known={"probs": softmax(LOGITS)},
        bad=_RELAXED,
    ),
    Row(
        "RelaxedOneHotCategorical",
        {"temperature": 0.7, "logits": MASKED},
        FACE[None],
        np.array([concrete_log_density_on_simplex(MASKED, 0.7, FACE)]),
        judge=lambda x: judge_concrete(log_of(x), MASKED, 0.7),
        supports=lambda x: is_simplex(x) & (x[:, 1] == 0),
        known={"probs": softmax(MASKED)},
    ),
    Row(
        "RelaxedOneHotCategoricalStraightThrough",
        {"temperature": 0.7, "logits": LOGITS},
        np.exp(_Y),
        np.array([concrete_log_density_on_simplex(LOGITS, 0.7, x) for x in np.exp(_Y)]),
        judge=lambda z: judge_classes(z, LOGITS),
        supports=is_one_hot,
        known={"probs": softmax(LOGITS)},
        is_smooth=False,
        bad=_RELAXED,
    ),
    Row(
        "OneHotCategoricalStraightThrough",
        {"logits": MASKED},
        np.eye(4),
        log_softmax(MASKED),
        judge=lambda z: judge_classes(z, MASKED),
        supports=is_one_hot,
        known={
            "mean": _PROBS,
            "variance": _PROBS * (1 - _PROBS),
            "entropy": stats.entropy(_PROBS),
            "mode": np.eye(4)[2],
            "probs": _PROBS,
        },
        is_smooth=False,
        bad=_LOGITS,
    ),
    Row(
        "OneHotCategoricalStraightThrough",
        {"logits": LOGITS},
        np.eye(4),
        log_softmax(LOGITS),
        judge=lambda z: judge_classes(z, LOGITS),
        supports=is_one_hot,
        known={
            "mean": softmax(LOGITS),
            "variance": softmax(LOGITS) * (1 - softmax(LOGITS)),
            "entropy": stats.entropy(softmax(LOGITS)),
            "mode": np.eye(4)[2],
            "probs": softmax(LOGITS),
        },
        is_smooth=False,
    ),
    Row(
        "LogitRelaxedBernoulli",
        {"temperature": 0.7, "logits": np.array(1.5)},
        _X,
        _LOGISTIC.logpdf(_X),
        judge=lambda y: [stats.kstest(y, _LOGISTIC.cdf).pvalue],
        supports=np.isfinite,
        known={
            "mean": _LOGISTIC.mean(),
            "variance": _LOGISTIC.var(),
            "entropy": _LOGISTIC.entropy(),
            "probs": stats.logistic.cdf(1.5),
        },
        bad=_BERNOULLI,
    ),
    Row(
        "RelaxedBernoulli",
        {"temperature": 0.7, "logits": np.array(1.5)},
        _Z,
        _LOGISTIC.logpdf(np.log(_Z / (1 - _Z))) - np.log(_Z * (1 - _Z)),
        judge=lambda x: [
            stats.kstest(x, lambda p: _LOGISTIC.cdf(log_of(p) - log_of(1 - p))).pvalue
        ],
        supports=lambda x: (x >= 0) & (x <= 1),
        known={"probs": stats.logistic.cdf(1.5)},
        bad=_BERNOULLI,
    ),
    Row(
        "PlackettLuce",
        {"logits": MASKED, "k": 2},
        np.array([*_LISTS, (0, 1)]),
        np.append(np.log(list(_LISTS.values())), -np.inf),
        judge=lambda value: judge_lists(value, MASKED, 2),
        supports=lambda value: (value[:, 0] != value[:, 1]) & (value != 1).all(-1),
        known={"mode": np.array([2, 0])},
        is_smooth=False,
        bad=[
            *((({"k": 1} | bad), word) for bad, word in _LOGITS if "logits" in bad),
            *(({"logits": MASKED, "k": k}, "PlackettLuce: k is") for k in (0, 4, 2.0, True)),
        ],
    ),
]
