"""The machine that wears: gradients against enumeration, the policy against every other."""

from itertools import product

import numpy as np
import pytest
from scipy.special import log_softmax

from models.markov_decision.comparison import Comparison
from models.markov_decision.data import (
    ACTIONS,
    HORIZON,
    OPTIMUM,
    STATES,
    enumerate_gradients,
    expected_return,
    list_trajectories,
)

SHAPE = HORIZON, len(STATES), len(ACTIONS)
LOGITS = 0.5 * np.random.default_rng(0).normal(size=SHAPE)
NAMES = ("whole return", "whole return, baseline", "reward-to-go", "reward-to-go, baseline")
EPISODES = 16


def test_the_trajectories_are_all_there_are():
    log_policy, mass, mean = log_softmax(LOGITS, axis=-1), 0.0, 0.0
    for each in list_trajectories():
        chosen = log_policy[range(HORIZON), each.states, each.actions].sum()
        mass += each.probability * np.exp(chosen)
        mean += each.probability * np.exp(chosen) * each.rewards.sum()
    assert mass == pytest.approx(1, abs=1e-12)
    assert mean == pytest.approx(expected_return(LOGITS), abs=1e-12)


def test_the_enumerated_gradient_is_that_of_the_recursion():
    gradient, _ = enumerate_gradients(LOGITS)
    for where in product(*map(range, SHAPE)):
        step = np.zeros(SHAPE)
        step[where] = 1e-5
        slope = (expected_return(LOGITS + step) - expected_return(LOGITS - step)) / 2e-5
        assert gradient[where] == pytest.approx(slope, abs=1e-8)


def test_no_policy_earns_more_than_the_optimum():
    best = max(
        expected_return(1e3 * np.eye(2)[np.reshape(choice, SHAPE[:2])])
        for choice in product(range(2), repeat=HORIZON * len(STATES))
    )
    assert best == pytest.approx(OPTIMUM, abs=1e-12)


@pytest.fixture(scope="module")
def estimates(host):
    """By name, 600 estimates of the gradient from 16 episodes each."""
    from importlib import import_module

    program = import_module(f"models.markov_decision.on_{host.name}")
    logits = host.array(LOGITS)
    return {
        name: np.asarray(
            host.random(program.estimate_gradients, logits, EPISODES, program.WEIGHTS[name], 600)
        )
        for name in NAMES
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_the_enumeration(estimates, name):
    """Four standard errors for 24 logits: a false alarm in 660 runs of one case."""
    truth, _ = enumerate_gradients(LOGITS)
    found = estimates[name]
    error = found.std(0, ddof=1) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(0) - truth) < 4 * error)


def test_the_variance_is_known_and_falls(estimates):
    comparison = Comparison(estimates, {})
    plain, baseline, to_go, both = (comparison.variance(name) for name in NAMES)
    # The sum of 24 sample variances from 600 estimates is known to about 5 %.
    _, truth = enumerate_gradients(LOGITS)
    assert plain == pytest.approx(truth.sum() / EPISODES, rel=0.15)
    assert baseline < 0.8 * plain
    assert to_go < 0.8 * plain
    assert both < 0.9 * min(baseline, to_go)


def test_the_policy_reaches_dynamic_programming(host, worked):
    program = worked("markov_decision")
    returns = host.random(program.improve, program.WEIGHTS[NAMES[-1]], 150)
    assert returns[0] == pytest.approx(expected_return(np.zeros(SHAPE)), abs=1e-6)
    assert OPTIMUM - 0.04 < returns[-1] < OPTIMUM
