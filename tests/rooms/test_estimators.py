"""What is special to single estimators of discrete draws, against enumeration.

What all owe is asked in ``test_estimator_contract.py``.
"""

from importlib import import_module

import numpy as np

from tests.oracles.estimators import CATEGORICAL, assert_means
from tests.rooms.estimator_rows import ROWS, integrand

CATEGORICAL_ROW = ROWS[0]


def test_rebar_without_control_variate_is_the_score_function(host, estimators, differentiate):
    toy, f = CATEGORICAL, integrand(host, CATEGORICAL_ROW)

    def surrogate(*arguments):
        *key, logits = arguments
        rebar = estimators.REBAR(temperature=0.5, scale=0.0)
        return rebar.surrogate(*key, lambda z: f(z, logits, host.array(toy.scale)), logits)

    _, gradient = differentiate(surrogate)(toy.logits)
    possible = ((toy.f - 1.0)[..., None, None] * toy.score)[0]
    distance = np.abs(gradient[:100, 0, None] - possible).max((-2, -1))
    assert distance.min(-1).max() < 1e-4


def test_second_moment_and_its_derivative(host, estimators):
    logits = host.array(CATEGORICAL.logits[0])
    f = integrand(host, CATEGORICAL_ROW)
    scale = host.array(np.array(1.0))

    def moment(*arguments):
        *key, temperature, multiplier = arguments
        rebar = estimators.REBAR(temperature, multiplier)
        return estimators.second_moment(
            *key, lambda z: f(z, logits, scale), logits, rebar, num_draws=200
        )

    point = np.array([0.8, 0.6])
    if host.name == "pyro":
        leaves = [host.array(each).requires_grad_() for each in point]
        host.random(moment, *leaves).backward()
        gradient = [float(each.grad) for each in leaves]
    else:
        jax = import_module("jax")
        gradient = host.random(jax.jit(jax.grad(moment, (1, 2))), *point)
        moment = jax.jit(moment)
    for number, found in enumerate(gradient):
        step = 0.02 * (np.arange(2) == number)
        above, below = (
            host.random(moment, *(host.array(each) for each in point + sign * step)).item()
            for sign in (1, -1)
        )
        np.testing.assert_allclose(found, (above - below) / 0.04, rtol=0.02, atol=0.02)
    without = host.random(moment, host.array(0.8), host.array(0.0)).item()
    squares = CATEGORICAL.f**2 * (CATEGORICAL.score**2).sum((-2, -1))
    assert abs(without / (CATEGORICAL.q * squares).sum(-1)[0] - 1) < 0.3


def test_policy_gradient(host, estimators, differentiate):
    """REINFORCE on a small decision process, whose actions are drawn for each state beforehand."""
    rewards = host.array(np.array([[1.0, 0.0], [0.0, 3.0]]))  # of an action in a state

    def total_reward(z):
        reward, state = 0.0, host.array(np.eye(2)[0])
        for time in range(3):
            action = (state[..., None] * z[..., 2 * time : 2 * time + 2, :]).sum(-2)
            reward = reward + (state[..., None] * action[..., None, :] * rewards).sum((-2, -1))
            state = action  # the action is where to go
        return reward

    logits = np.random.default_rng(0).normal(size=(6, 2))
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    outcomes = np.eye(2)[np.array(np.meshgrid(*[[0, 1]] * 6, indexing="ij")).reshape(6, -1).T]
    weights = (outcomes * probs).sum(-1).prod(-1)
    reward = np.asarray(total_reward(host.array(outcomes)))
    gradient = np.einsum("s,s,svk->vk", weights, reward, outcomes - probs)
    estimator = estimators.LeaveOneOut(2)
    estimates = differentiate(
        lambda *arguments: estimator.surrogate(*arguments[:-1], total_reward, arguments[-1])
    )(logits)
    assert_means(estimates, (weights @ reward, gradient))


def test_a_baseline_for_each_member(host, estimators, run):
    """Where it is all that ``f`` is, nothing is left of the gradient."""
    size = host.array(np.array([4.0, 0.0]))

    def estimate(*arguments):
        *key, logits, baseline = arguments
        estimator = estimators.ScoreFunction(baseline)
        return estimators.estimate_gradient(
            *key, lambda z: size + 0.0 * z[..., 0, 0], logits, estimator, 9
        )

    estimates = run(estimate, host.array(np.zeros((2, 1, 2))), host.array(np.array(4.0)))
    gradient = np.abs(np.asarray(estimates.gradient))
    np.testing.assert_allclose(gradient[:, 0], 0.0, atol=1e-5)
    np.testing.assert_allclose(gradient[:, 1], 4.0 / 2, rtol=1e-5)
