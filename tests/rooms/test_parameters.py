"""Models with parameters, fitted deterministically, against marginal likelihoods."""

from importlib import import_module

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

RNG = np.random.default_rng(7)
X = RNG.normal(size=(40, 3))
Y = X @ [1.0, 2.0, -1.0] + 0.3 * RNG.normal(size=40)
TIMES = np.linspace(0.0, 3.0, 12)
HEIGHTS = np.sin(2 * TIMES) + 0.1 * RNG.normal(size=12)
JITTER = 1e-4


def maximise_evidence(covariance_of, y, start):
    """The maximum of a Gaussian marginal likelihood: (log parameters, its height)."""

    def loss(theta):
        return -multivariate_normal(np.zeros(len(y)), covariance_of(*np.exp(theta))).logpdf(y)

    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9})
    return found.x, -found.fun


@pytest.fixture(scope="module")
def regression(host):
    """Coefficients with a prior; its width and the noise are parameters."""
    ppl, dist = host.ppl, host.dist

    def model(x, y):
        positive = dist.constraints.positive
        noise = ppl.param("noise", host.array(1.0), constraint=positive)
        width = ppl.param("width", host.array(1.0), constraint=positive)
        with ppl.plate("feature", 3):
            b = ppl.sample("b", dist.Normal(0.0, width))
        with ppl.plate("row", len(y)):
            ppl.sample("y", dist.Normal(x @ b, noise), obs=y)

    return model


@pytest.fixture(scope="module")
def fitted(host, regression):
    x, y = host.array(X), host.array(Y)
    return host.random(host.room.fit, regression, x, y, progress_bar=False)


def log_values(fitted, *names):
    return np.log([float(fitted.params[name]) for name in names])


def test_a_regression_learns_its_noise(fitted):
    best, height = maximise_evidence(
        lambda noise, width: noise**2 * np.eye(40) + width**2 * X @ X.T, Y, [0.0, 0.0]
    )
    assert fitted.log.converged
    np.testing.assert_allclose(log_values(fitted, "noise", "width"), best, atol=2e-3)
    # Given the parameters the posterior is Gaussian, and the bound its evidence.
    assert fitted.solution.elbo == pytest.approx(height, abs=1e-3)


def test_mean_field_learns_the_optimum_of_its_own_bound(host, regression):
    def bound(theta):
        noise, width = np.exp(theta)
        precision = X.T @ X / noise**2 + np.eye(3) / width**2
        # The best independent Gaussian loses half the log determinant of the correlations.
        loss = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
        covariance = noise**2 * np.eye(40) + width**2 * X @ X.T
        return loss - multivariate_normal(np.zeros(40), covariance).logpdf(Y)

    best = minimize(bound, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-5})
    guide = host.room.AutoMeanField
    fitted = host.random(
        host.room.fit, regression, host.array(X), host.array(Y), guide=guide, progress_bar=False
    )
    assert fitted.solution.elbo == pytest.approx(-best.fun, abs=1e-3)
    np.testing.assert_allclose(log_values(fitted, "noise", "width"), best.x, atol=2e-3)
    response = fitted.linear_response()
    noise, width = np.exp(best.x)
    precision = X.T @ X / noise**2 + np.eye(3) / width**2
    covariance = response.solution.scale_tril @ response.solution.scale_tril.T
    np.testing.assert_allclose(covariance, np.linalg.inv(precision), rtol=0.02, atol=1e-6)
    assert response.params["noise"] == fitted.params["noise"]


def test_a_gaussian_process_learns_its_kernel(host):
    ppl, dist, math = host.ppl, host.dist, host.math

    def covariance_of(noise, height, length):
        near = np.exp(-0.5 * ((TIMES[:, None] - TIMES) / length) ** 2)
        return height**2 * near + (noise**2 + JITTER) * np.eye(12)

    def model(distance, y):
        positive = dist.constraints.positive
        noise, height, length = (
            ppl.param(name, host.array(start), constraint=positive)
            for name, start in [("noise", 0.5), ("height", 1.0), ("length", 1.0)]
        )
        eye = host.array(np.eye(12))
        kernel = height**2 * math.exp(-0.5 * (distance / length) ** 2) + JITTER * eye
        e = ppl.sample("e", dist.Normal(host.array(np.zeros(12)), 1.0).to_event(1))
        f = math.linalg.cholesky(kernel) @ e
        ppl.sample("y", dist.Normal(f, noise).to_event(1), obs=y)

    best, height = maximise_evidence(covariance_of, HEIGHTS, np.log([0.5, 1.0, 1.0]))
    distance = host.array(TIMES[:, None] - TIMES)
    fitted = host.random(host.room.fit, model, distance, host.array(HEIGHTS), progress_bar=False)
    found = log_values(fitted, "noise", "height", "length")
    np.testing.assert_allclose(found, best, atol=0.01)
    assert fitted.solution.elbo == pytest.approx(height, abs=5e-3)


def test_everything_after_the_fit_is_at_the_fitted_parameters(host, fitted, tmp_path):
    ppl, dist = host.ppl, host.dist
    noise, width = (float(fitted.params[name]) for name in ("noise", "width"))
    x, y = host.array(X), host.array(Y)

    def known(x, y):
        with ppl.plate("feature", 3):
            b = ppl.sample("b", dist.Normal(0.0, width))
        with ppl.plate("row", len(y)):
            ppl.sample("y", dist.Normal(x @ b, noise), obs=y)

    z = np.random.default_rng(0).normal(size=(5, 3))
    truth = host.room.trace_density(known, x, y)
    np.testing.assert_allclose(fitted.density.log_p(z), truth.log_p(z), rtol=1e-5)
    np.testing.assert_allclose(
        fitted.density.log_density(z)[1], truth.log_density(z)[1], rtol=1e-3, atol=1e-2
    )
    draws = host.random(fitted.draws, 50, posterior_predictive=True)
    np.testing.assert_allclose(draws.log_p, truth.log_p(draws.values["b"]), rtol=1e-4)
    assert draws.posterior_predictive["y"].shape == (50, 40)
    report = fitted.report()
    assert report.verdict == "good"
    assert "parameters are point estimates ('noise', 'width')" in " ".join(str(report).split())
    path = tmp_path / "fit.safetensors"
    fitted.save(path)
    loaded = host.room.load(path, fitted.bound.model, x, y)
    assert float(loaded.params["noise"]) == noise
    again = host.random(loaded.draws, 50)
    np.testing.assert_array_equal(again.values["b"], draws.values["b"])
    np.testing.assert_array_equal(again.log_p, draws.log_p)
    with pytest.raises(ValueError, match="holds 2 parameters of its model, the model has 0"):
        host.room.load(path, known, x, y)


def test_a_fit_starts_at_the_values_of_the_model(host):
    # The bound has an optimum on either side of zero: the mean of x is the square of m.
    ppl, dist = host.ppl, host.dist

    def model(start, y):
        m = ppl.param("m", start)
        x = ppl.sample("x", dist.Normal(m**2, 1.0))
        ppl.sample("y", dist.Normal(x, 1.0), obs=y)

    for start in (-0.5, 0.5):
        fitted = host.random(
            host.room.fit, model, host.array(start), host.array(4.0), progress_bar=False
        )
        assert float(fitted.params["m"]) == pytest.approx(np.copysign(2.0, start), abs=0.01)


def test_a_bound_without_end_is_named(host):
    ppl, dist = host.ppl, host.dist

    def model(y):
        width = ppl.param("width", host.array(1.0), constraint=dist.constraints.positive)
        centre = ppl.param("centre", host.array(0.0))
        ppl.sample("x", dist.Normal(0.0, 1.0))
        ppl.sample("y", dist.Normal(centre, width), obs=y)

    with pytest.raises(ValueError, match="rises without end as parameter 'width'"):
        host.random(host.room.fit, model, host.array(2.0), progress_bar=False)


def test_what_cannot_be_held_goes_to_stochastic_gradients(host, monkeypatch):
    ppl, dist, room = host.ppl, host.dist, host.room

    def many(y):
        w = ppl.param("w", host.array(np.zeros(400)))
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        ppl.sample("y", dist.Normal(x + w.sum() / 400, 1.0), obs=y)

    def minibatches(y):
        m = ppl.param("m", host.array(0.0))
        x = ppl.sample("x", dist.Normal(m, 1.0))
        with ppl.plate("row", 4, subsample_size=2) as rows:
            ppl.sample("y", dist.Normal(x, 1.0), obs=y[rows])

    y = host.array(2.0)
    with pytest.raises(ValueError, match="Deterministic was given and the model has 400 param"):
        host.random(room.fit, many, y, optimizer=room.Deterministic(), progress_bar=False)
    entry = import_module(f"{room.__name__}.fitting.entry")
    fit_stochastic = entry.fit_stochastic

    def fit_shortly(*arguments):
        short = [
            room.Stochastic(max_steps=100) if isinstance(each, room.Stochastic) else each
            for each in arguments
        ]
        return fit_stochastic(*short)

    monkeypatch.setattr(entry, "fit_stochastic", fit_shortly)
    for model, data, why in [
        (many, y, "the model has 400 parameters, more than 300"),
        (minibatches, host.array(np.ones(4)), "the model sees its data in minibatches"),
    ]:
        fitted = host.random(room.fit, model, data, num_starts=1, progress_bar=False)
        assert fitted.solution is None
        assert f"stochastic gradients were used, for {why}" in fitted.log.notes
