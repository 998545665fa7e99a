"""Parameters of a density at the optimum of the bound, against marginal likelihoods."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from ppl_ext.density import Density, ParametricDensity, Site
from ppl_ext.fitting import Deterministic
from ppl_ext.gaussian_vi import solve_full_rank, solve_mean_field
from ppl_ext.gaussian_vi.parameters import solve_with_parameters

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ [1.0, 2.0, -1.0] + 0.3 * RNG.normal(size=40)


def make(terms, dim, names, start):
    """A density from ``(z, theta) -> log p, gradient in z, gradient in theta``, one row a draw."""

    def at(theta):
        return Density(
            dim,
            (Site("z", (dim,), 0, dim),),
            lambda z: terms(z, theta)[:2],
            lambda z: terms(z, theta)[0],
            lambda z: {"z": z},
            lambda z: "",
        )

    sites = tuple(Site(name, (), k, k + 1) for k, name in enumerate(names))
    return ParametricDensity(
        sites, np.array(start, float), at, lambda z, theta: terms(z, theta)[2].mean(0)
    )


def regression(z, theta):
    noise, width = np.exp(theta[:2])
    left = Y - z @ X.T
    squares, norms = (left**2).sum(1) / noise**2, (z**2).sum(1) / width**2
    log_p = -0.5 * (squares + norms + 43 * np.log(2 * np.pi)) - 40 * theta[0] - 3 * theta[1]
    in_theta = np.stack([squares - 40, norms - 3, np.zeros(len(z))], axis=1)
    return log_p, left @ X / noise**2 - z / width**2, in_theta


@pytest.fixture(scope="module")
def best():
    def loss(theta):
        noise, width = np.exp(2 * theta)
        return -multivariate_normal(np.zeros(40), noise * np.eye(40) + width * X @ X.T).logpdf(Y)

    return minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6})


@pytest.mark.parametrize("start", [[0.0, 0.0], [3.0, -3.0], [-2.0, 4.0]])
def test_parameters_maximise_the_evidence(best, start):
    density = make(regression, 3, ["noise", "width", "unused"], [*start, 7.0])
    solution = solve_with_parameters(density, solve_full_rank)
    assert solution.gaussian.converged
    np.testing.assert_allclose(solution.theta[:2], best.x, atol=1e-3)
    # What the bound does not depend on stays where it was.
    assert solution.theta[2] == 7.0
    assert solution.gaussian.elbo == pytest.approx(-best.fun, abs=1e-5)


def test_parameters_on_very_different_scales():
    # x ~ Normal(a, 1e5), y ~ Normal(x, 1e5), w ~ Normal(b, 1e-3), v ~ Normal(w, 1e-3).
    scales, data = np.array([1e5, 1e-3]), np.array([3e5, 2e-3])

    def terms(z, theta):
        prior, likelihood = (z * scales - theta) / scales, (z * scales - data) / scales
        log_p = -0.5 * (prior**2 + likelihood**2).sum(1)
        return log_p, -prior - likelihood, prior / scales

    solution = solve_with_parameters(make(terms, 2, ["a", "b"], [0.0, 0.0]), solve_mean_field)
    np.testing.assert_allclose(solution.theta, data, rtol=1e-3)


def test_a_bound_without_end_names_the_parameter():
    def terms(z, theta):
        log_p = -0.5 * (z**2).sum(1) + theta[1] - 0.5 * theta[0] ** 2
        return log_p, -z, np.tile([-theta[0], 1.0], (len(z), 1))

    with pytest.raises(ValueError, match=r"rises without end as parameter 'free' moves on"):
        solve_with_parameters(make(terms, 2, ["held", "free"], [1.0, 1.0]), solve_full_rank)


def test_an_interruption_keeps_what_was_reached(best):
    calls = 0

    def interrupted(z, theta):
        nonlocal calls
        calls += 1
        if calls == 80:
            raise KeyboardInterrupt
        return regression(z, theta)

    density = make(interrupted, 3, ["noise", "width", "unused"], [0.0, 0.0, 0.0])
    solution = solve_with_parameters(density, solve_full_rank)
    assert solution.gaussian.log.interrupted
    assert not solution.gaussian.converged
    assert np.isfinite(solution.gaussian.elbo)
    assert solution.gaussian.elbo < -best.fun + 1e-6


def test_draws_are_added_until_they_leave_no_error_in_the_parameters():
    # y ~ Poisson(exp(z)), z ~ Normal(a, 1): the fit of a Gaussian needs its draws.
    counts = np.array([0.0, 1.0, 3.0, 8.0])

    def terms(z, theta):
        rate = np.exp(z)
        log_p = (counts * z - rate - 0.5 * (z - theta[0]) ** 2).sum(1)
        return log_p, counts - rate - (z - theta[0]), (z - theta[0]).sum(1, keepdims=True)

    few = Deterministic(num_draws=16, error_tolerance=0.01)
    solution = solve_with_parameters(make(terms, 4, ["a"], [0.0]), solve_mean_field, few)
    assert solution.gaussian.num_draws > 16
    assert solution.error <= 0.01

    def bound(theta):  # the optimum of every coordinate in closed form but for its own equation
        def loss(q):
            mean, log_sd = q[:4], q[4:]
            variance = np.exp(2 * log_sd)
            rate = np.exp(mean + variance / 2)
            away = 0.5 * ((mean - theta) ** 2 + variance)
            return -(counts * mean - rate - away + log_sd).sum()

        return minimize(loss, np.zeros(8)).fun

    truth = minimize(lambda theta: bound(theta[0]), [0.0], method="Nelder-Mead").x[0]
    assert solution.theta[0] == pytest.approx(truth, abs=0.02)
