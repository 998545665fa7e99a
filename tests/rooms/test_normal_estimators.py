"""The score function and the path of normal variables, against closed forms."""

from importlib import import_module

import numpy as np
import pytest

from tests.oracles.estimators import assert_means


@pytest.mark.parametrize("kind", ["NormalScoreFunction", "NormalPath"])
def test_normal_gradients(host, estimators, differentiate, kind):
    """Means and variances of both estimators for the square, with mean ``a theta + b``."""
    slope, intercept = 1.5, -1.0
    estimator = getattr(estimators, kind)()

    def surrogate(*arguments):
        *key, theta = arguments
        mean = (slope * theta + intercept)[..., None]
        return estimator.surrogate(*key, lambda z: z[..., 0] ** 2, mean, 1.0)

    theta = np.array([-1.0, 2 / 3, 1.0, 3.0])
    mean = slope * theta + intercept
    value, gradient = differentiate(surrogate)(theta)
    assert_means((value, gradient), (mean**2 + 1, 2 * slope * mean))
    variance = slope**2 * (mean**4 + 14 * mean**2 + 15)
    if kind == "NormalPath":
        variance = np.full(4, 4 * slope**2)
    np.testing.assert_allclose(gradient.var(0), variance, rtol=0.12)


def test_normal_functions_with_a_jump(host, estimators, differentiate):
    """The score function sees a jump; the path does not. Several variables, and their scales."""

    def surrogate(*arguments):
        *key, mean, sd = arguments
        return estimators.NormalScoreFunction(0.5).surrogate(
            *key, lambda z: 1.0 * (z.sum(-1) > 0), mean, sd
        )

    _, in_mean, in_sd = differentiate(surrogate)(np.array([0.3, -0.1]), np.array([0.8, 0.6]))
    # The sum is N(0.2, 1).
    density = np.exp(-0.02) / np.sqrt(2 * np.pi)
    assert_means((in_mean, in_sd), (np.full(2, density), -0.2 * density * np.array([0.8, 0.6])))
    with pytest.raises(ValueError, match=r"NormalPath: f returned the shape \(2,\)"):
        host.random(estimators.NormalPath().surrogate, lambda z: z, host.array(np.zeros(2)), 1.0)


def test_descent_along_the_path_needs_fewer_steps(host, estimators):
    """The minimum of E z^2, z ~ N(a theta + b, 1), is at theta = -b / a."""
    slope, intercept = 2.0, -3.0
    steps = {}
    for kind in ("NormalPath", "NormalScoreFunction"):
        estimator = getattr(estimators, kind)()

        def surrogate(*arguments, estimator=estimator):
            *key, theta = arguments
            mean = (slope * theta + intercept)[:, None]
            return estimator.surrogate(*key, lambda z: z[:, 0] ** 2, mean, 1.0).sum()

        errors = np.asarray(host.random(descend, host, surrogate, 500)) + intercept / slope
        assert abs(errors[-1].mean()) < 0.02
        steps[kind] = np.flatnonzero((errors**2).mean(-1) > 0.1**2).max() + 1
    assert steps["NormalPath"] < 0.5 * steps["NormalScoreFunction"]


def descend(*arguments):
    """Descend from 64 starts with steps ``1 / (100 + n)``, and return where they led."""
    *key, host, surrogate, count = arguments
    if host.name == "pyro":
        theta, path = host.array(np.zeros(64)).requires_grad_(), []
        for number in range(count):
            (gradient,) = host.math.autograd.grad(surrogate(theta), theta)
            theta = (theta - gradient / (100 + number)).detach().requires_grad_()
            path.append(theta.detach().numpy())
        return path
    jax = import_module("jax")

    def step(theta, now):
        key, number = now
        theta = theta - jax.grad(surrogate, 1)(key, theta) / (100.0 + number)
        return theta, theta

    numbers = host.math.arange(count)
    start = host.array(np.zeros(64))
    return jax.lax.scan(step, start, (jax.random.split(*key, count), numbers))[1]
