"""Unbiased estimators of gradients through discrete draws, against enumeration.

A mean may be off by 4.5 standard errors, which a right one is in 7 of a million comparisons; some
thousand are made. A variance may be off by 6 %, which is more than five of its standard errors.
"""

from functools import cache, partial
from importlib import import_module

import numpy as np
import pytest

from tests.oracles.estimators import BINARY, CATEGORICAL, SINGLE, assert_means


def square(x):
    """A control variate that is right nowhere."""
    return (x**2)[..., 0].sum(-1)


UNBIASED = {
    "score": (CATEGORICAL, "ScoreFunction", {}),
    "score-baseline": (CATEGORICAL, "ScoreFunction", {"baseline": 0.7, "num_draws": 2}),
    "leave-one-out-2": (CATEGORICAL, "LeaveOneOut", {"num_draws": 2}),
    "leave-one-out-4": (CATEGORICAL, "LeaveOneOut", {"num_draws": 4}),
    "local": (CATEGORICAL, "LocalExpectation", {}),
    "rebar": (CATEGORICAL, "REBAR", {"temperature": 0.5, "scale": 0.8}),
    "relax": (CATEGORICAL, "RELAX", {"control": square}),
    "relax-scale": (CATEGORICAL, "RELAX", {"control": square, "scale": 0.8}),
    "arm": (BINARY, "ARM", {}),
    "disarm": (BINARY, "DisARM", {}),
    "single-local": (SINGLE, "LocalExpectation", {}),
}
VARIANCES = {
    "score": CATEGORICAL.score_variance(),
    "leave-one-out-2": CATEGORICAL.leave_one_out_variance(2),
    "leave-one-out-4": CATEGORICAL.leave_one_out_variance(4),
    "local": CATEGORICAL.local_variance(),
    "disarm": BINARY.mirror_variance(),
}


@pytest.fixture(scope="module")
def program(host, estimators, differentiate):
    """Return the estimator of a name as ``(logits, scale) -> value, gradients``, of many."""

    @cache
    def make(name):
        toy, kind, parameters = UNBIASED.get(name) or (CATEGORICAL, "VIMCO", {"num_draws": 2})
        estimator, f = getattr(estimators, kind)(**parameters), integrand(host, toy)

        def surrogate(*arguments):
            *key, logits, scale = arguments
            return estimator.surrogate(*key, lambda z: f(z, logits, scale), logits)

        return differentiate(surrogate)

    return make


def integrand(host, toy):
    """Write ``f`` of the oracle in the host's words."""
    inner, outer = host.array(toy.inner), host.array(toy.outer)
    categorical = host.room.distributions.OneHotCategoricalStraightThrough

    def f(z, logits, scale):
        g = host.math.tanh(z.reshape(*z.shape[:-2], -1) @ inner) @ outer
        return scale * g - categorical(logits=logits, validate_args=False).log_prob(z).sum(-1)

    return f


@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased(program, name):
    """Value, and gradients in the logits, which ``f`` contains as well, and in its scale."""
    toy = UNBIASED[name][0]
    estimates = program(name)(toy.logits, toy.scale)
    assert_means(estimates, (toy.value, toy.gradient, toy.scale_gradient))
    variance = estimates[1].var(0).sum((-2, -1))
    if name in VARIANCES:
        np.testing.assert_allclose(variance, VARIANCES[name], rtol=0.06)
    if name.startswith("single"):
        assert variance.max() < 1e-8
    if name == "arm":
        assert (variance > VARIANCES["disarm"]).all()


def test_bound_of_several_draws(program):
    toy = CATEGORICAL
    value, gradient, _ = program("vimco")(toy.logits, toy.scale)
    assert_means((value, gradient), toy.bound(2))


@pytest.mark.parametrize("name", [*UNBIASED, "vimco"])
def test_extreme_logits(program, name):
    """Peaked far beyond what exp can hold, off centre, and with all classes but one ruled out."""
    toy = UNBIASED.get(name, (CATEGORICAL,))[0]
    logits = 100.0 * toy.logits
    logits[0] = 0.01 * logits[0] + 1e4
    logits[2, :, 1:] = -np.inf
    logits[2, :, 0] = 0.0
    for many in program(name)(logits, toy.scale):
        assert np.isfinite(many).all()
        certain = many[:, 2] if many.ndim > 2 else many[:, :0]
        np.testing.assert_allclose(certain, 0.0, atol=1e-4)  # no gradient in what is certain


def test_rebar_without_control_variate_is_the_score_function(host, estimators, differentiate):
    toy, f = CATEGORICAL, integrand(host, CATEGORICAL)

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
    f = integrand(host, CATEGORICAL)
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


def test_single_variable(host, estimators, run):
    """Logits of one variable need no axis for it, and the function sees none."""
    seen = []

    def f(z):
        seen.append(tuple(z.shape))
        return z @ host.array(np.array([0.0, 1.0, 4.0]))

    logits = host.array(np.zeros(3))

    def surrogate(*arguments):
        *key, logits = arguments
        return estimators.LeaveOneOut(4).surrogate(*key, f, logits)

    def estimate(*arguments):
        *key, logits = arguments
        return estimators.estimate_gradient(*key, f, logits, estimators.LeaveOneOut(2), 6)

    assert run(surrogate, logits).shape == ()
    assert seen == [(4, 3)]
    estimates = run(estimate, logits)
    assert tuple(estimates.gradient.shape) == (6, 3)
    assert tuple(estimates.value.shape) == (6,)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_precision(host, estimators, run, dtype):
    """Half precision is lifted to float32, and double precision is kept."""
    jax = import_module("jax") if host.name == "numpyro" else None
    with jax.enable_x64(True) if jax else host.math.enable_grad():
        logits = host.math.asarray(CATEGORICAL.logits, dtype=getattr(host.math, dtype))
        for estimator in (estimators.LeaveOneOut(), estimators.LocalExpectation()):

            def surrogate(*arguments, estimator=estimator):
                *key, logits = arguments
                return estimator.surrogate(*key, lambda z: 1.0 * z[..., 0].sum(-1), logits)

            value = run(surrogate, logits)
            wide = host.math.float32 if dtype == "bfloat16" else host.math.float64
            assert value.dtype == wide
            assert np.isfinite(np.asarray(value)).all()


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


def test_moving_average_is_a_baseline(host, estimators, run):
    average = estimators.MovingAverage(decay=0.9)
    assert float(average.mean) == 0.0
    for value in (3.0, 5.0, 4.0):
        average = average.update(host.array(np.array([value, value])))
    truth = (0.81 * 3 + 0.9 * 5 + 4) / (0.81 + 0.9 + 1)
    np.testing.assert_allclose(float(average.mean), truth, rtol=1e-6)
    weights = host.array(np.array([truth, 0.0]))

    def estimate(*arguments):
        *key, logits, average = arguments
        estimator = estimators.ScoreFunction(average)
        return estimators.estimate_gradient(
            *key, lambda z: weights + 0.0 * z[..., 0, 0], logits, estimator, 9
        )

    estimates = run(estimate, host.array(np.zeros((2, 1, 2))), average)
    gradient = np.abs(np.asarray(estimates.gradient))
    np.testing.assert_allclose(gradient[:, 0], 0.0, atol=1e-5)  # the average is all there is
    np.testing.assert_allclose(gradient[:, 1], truth / 2, rtol=1e-5)


def test_transformations(host, estimators):
    """One estimate for each member of a batch, by vmap; and in JAX a scan that carries a state."""
    weights, table = host.array(np.array([0.0, 1.0])), host.array(BINARY.logits)

    def surrogate(estimator, *arguments):
        *key, logits = arguments
        return estimator.surrogate(*key, lambda z: ((z @ weights).sum(-1) - 0.3) ** 2, logits)

    every = [
        getattr(estimators, kind)(**parameters)
        for _, kind, parameters in UNBIASED.values()
        if parameters.get("num_draws") != 5
    ]
    if host.name == "pyro":
        func = host.math.func
        for estimator in [*every, estimators.VIMCO()]:
            gradient = func.vmap(func.grad(partial(surrogate, estimator)), randomness="different")
            assert np.isfinite(np.asarray(gradient(table))).all()
        return
    jax = import_module("jax")

    def step(average, key):
        estimator = estimators.ScoreFunction(average)
        value = jax.vmap(surrogate, (None, None, 0))(estimator, key, table)
        return average.update(value), value

    keys = jax.random.split(jax.random.key(0), 20)
    scan = jax.jit(lambda average: jax.lax.scan(step, average, keys))
    average, values = scan(estimators.MovingAverage(0.5))
    truth = (0.5 ** np.arange(20)[::-1]) @ np.asarray(values).mean(-1) / (2 - 0.5**19)
    np.testing.assert_allclose(average.mean, truth, rtol=1e-5)
    for estimator in every:
        structure = jax.tree.structure(estimator)
        assert jax.tree.unflatten(structure, jax.tree.leaves(estimator)) == estimator
