"""Fits by the deterministic solver: closed forms, no traces left behind, refusals by name."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from numpyro import handlers

from ppl_ext.numpyro import (
    AutoFullRank,
    AutoMeanField,
    Deterministic,
    Stochastic,
    fit,
    load,
)
from tests.numpyro.models import (
    ROW_DATA,
    ROWS,
    X,
    Y,
    calls,
    regression,
    regression_posterior,
    rows,
)


@pytest.fixture(scope="module")
def full_rank():
    return fit(jax.random.key(0), regression, None, X, y=Y, enable_x64=True)


@pytest.fixture(scope="module")
def mean_field():
    return fit(jax.random.key(0), regression, AutoMeanField(regression), X, y=Y)


def test_full_rank_is_the_posterior(full_rank):
    mean, covariance, log_evidence = regression_posterior()
    assert isinstance(full_rank.guide, AutoFullRank)
    assert full_rank.log.converged
    loc, scale_tril = full_rank.guide.gaussian(full_rank.params)
    np.testing.assert_allclose(loc, mean, atol=1e-4)
    np.testing.assert_allclose(scale_tril @ scale_tril.T, covariance, atol=1e-4)
    assert full_rank.solution.elbo == pytest.approx(log_evidence, abs=1e-3)


def test_mean_field_is_the_known_optimum(mean_field):
    mean, covariance, _ = regression_posterior()
    loc, scale = mean_field.guide.gaussian(mean_field.params)
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((loc - mean) / sd, 0, atol=0.02)
    np.testing.assert_allclose(scale, 1 / np.sqrt(np.diag(np.linalg.inv(covariance))), rtol=1e-2)
    assert any("float32" in note for note in mean_field.log.notes)


def test_draws_carry_everything(full_rank):
    _, _, log_evidence = regression_posterior()
    draws = full_rank.draws(jax.random.key(1), 600, posterior_predictive=True)
    assert list(draws.values) == ["b", "c", "mean"]
    b, c = draws.values["b"], draws.values["c"]
    mean = b @ X[:, :2].T + c[:, None] * X[:, 2]
    np.testing.assert_allclose(draws.values["mean"], mean, rtol=1e-9)
    likelihood = scipy.stats.norm.logpdf(Y, mean)
    np.testing.assert_allclose(draws.log_likelihood["y"], likelihood, rtol=1e-8)
    prior = scipy.stats.norm(0, 2).logpdf(b).sum(1) + scipy.stats.norm(0, 3).logpdf(c)
    np.testing.assert_allclose(draws.log_p, prior + likelihood.sum(1), rtol=1e-9)
    np.testing.assert_allclose(draws.log_weights, log_evidence, atol=0.02)
    np.testing.assert_array_equal(draws.observed["y"], Y)
    assert draws.dims == {"y": ("row",)}
    residual = draws.posterior_predictive["y"] - mean
    assert scipy.stats.kstest(residual.ravel(), "norm").pvalue > 1e-4
    again = full_rank.draws(jax.random.key(1), 600)
    np.testing.assert_array_equal(again.log_p, draws.log_p)
    assert again.posterior_predictive == {}
    other = full_rank.draws(jax.random.key(2), 600)
    assert not np.isclose(other.values["c"], c).any()


def test_report_is_made_once(full_rank, mean_field):
    report = full_rank.report()
    assert report.ok
    assert report is full_rank.report()
    assert report.log_evidence == pytest.approx(regression_posterior()[2], abs=0.01)
    assert not mean_field.report().ok


def test_linear_response_repairs_the_covariance(mean_field):
    repaired = mean_field.linear_response()
    _, covariance, _ = regression_posterior()
    _, scale_tril = repaired.guide.gaussian(repaired.params)
    np.testing.assert_allclose(
        np.linalg.norm(scale_tril, axis=1), np.sqrt(np.diag(covariance)), rtol=0.02
    )
    assert repaired.report().ok
    assert repaired.draws(jax.random.key(0), 10).num_draws == 10


def test_save_and_load(full_rank, tmp_path):
    path = tmp_path / "fit.safetensors"
    full_rank.save(path)
    loaded = load(path, regression, X, y=Y)
    assert loaded.log.reason == full_rank.log.reason
    assert loaded.log.notes == full_rank.log.notes
    np.testing.assert_array_equal(loaded.log.losses, full_rank.log.losses)
    np.testing.assert_array_equal(loaded.solution.scale, full_rank.solution.scale)
    np.testing.assert_array_equal(
        loaded.draws(jax.random.key(1), 50).log_weights,
        full_rank.draws(jax.random.key(1), 50).log_weights,
    )
    with pytest.raises(ValueError, match=r"load: .*was fitted to the sites .*'b'.*the model has"):
        load(path, rows, ROW_DATA, ROWS)


def test_a_second_fit_compiles_and_traces_nothing():
    counter = itertools.count()

    def model(x, y):
        next(counter)
        b = numpyro.sample("b", dist.Normal(jnp.zeros(2), 2.0).to_event(1))
        numpyro.sample("y", dist.Normal(x @ b, 1.0), obs=y)

    first = fit(jax.random.key(0), model, None, X[:, 1:], Y)
    first.draws(jax.random.key(0), 300)
    before = calls(counter)
    second = fit(jax.random.key(1), model, AutoFullRank(model), X[:, 1:], Y + 1)
    draws = second.draws(jax.random.key(0), 300)
    assert calls(counter) == before
    assert first.log.compile_seconds > 0
    assert second.log.compile_seconds == 0
    mean = np.linalg.solve(X[:, 1:].T @ X[:, 1:] + np.eye(2) / 4, X[:, 1:].T @ (Y + 1))
    np.testing.assert_allclose(draws.values["b"].mean(0), mean, atol=0.1)


def test_the_same_key_gives_the_same_fit(mean_field):
    again = fit(jax.random.key(0), regression, AutoMeanField(regression), X, y=Y)
    for name, value in mean_field.params.items():
        np.testing.assert_array_equal(again.params[name], value)


def test_global_state_is_left_alone(mean_field):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    validation = numpyro.distributions.distribution.Distribution._validate_args
    fit(jax.random.key(0), regression, AutoMeanField(regression), X, y=Y, enable_x64=True)
    assert (np.random.get_state()[1] == before).all()
    assert not jax.config.jax_enable_x64
    assert jnp.ones(1).dtype == jnp.float32
    assert numpyro.distributions.distribution.Distribution._validate_args == validation
    assert numpyro.primitives._PYRO_STACK == []


def test_float64_results_serve_outside_of_the_scope(full_rank):
    assert full_rank.params["auto_loc"].dtype == np.float64
    assert full_rank.guide.median(full_rank.params)["b"].shape == (2,)
    assert not any("float32" in note for note in full_rank.log.notes)


def test_many_dimensions_get_a_mean_field_guide():
    def model():
        numpyro.sample("x", dist.Normal(jnp.zeros(1200), 2.0).to_event(1))

    fitted = fit(jax.random.key(0), model, optimizer=Deterministic(num_draws=16, num_starts=1))
    assert isinstance(fitted.guide, AutoMeanField)
    np.testing.assert_allclose(fitted.params["x_auto_scale"], 2.0, rtol=1e-3)


def plain(y):
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


def never(y):
    x = numpyro.sample("x", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Gamma(2.0, x), obs=y)


def takes_restarts(y, restarts):
    plain(y)


def imputed(y):
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y, obs_mask=y > 0)


def two_plain(y):
    plain(y)
    numpyro.sample("other", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda key: fit(key, plain, None, np.nan), r"fit: observed site 'y' has 1 values"),
        (lambda key: fit(key, plain, AutoFullRank, 1.0), r"class AutoFullRank.*AutoFullRank\(mod"),
        (
            lambda key: fit(key, plain, np.ones(3)),
            r"guide is a ndarray.*fit\(rng_key, model, None",
        ),
        (lambda key: fit(key, np.ones(3)), r"model is a ndarray"),
        (lambda key: fit(key, plain, None, 1.0, restarts=0), r"restarts = 0"),
        (lambda key: fit(key, takes_restarts, None, 1.0), r"'restarts'.*functools.partial\(model"),
        (lambda key: fit(key, plain, AutoFullRank(two_plain), 1.0), r"\['x', 'other'\].*\['x'\]"),
        (lambda key: fit(key, handlers.block(plain, hide=["x"]), None, 1.0), r"no latent sites"),
        (
            lambda key: fit(key, rows, AutoFullRank(rows), ROW_DATA, ROWS, 20),
            r"'z'.*AutoMeanField",
        ),
        (
            lambda key: fit(key, rows, None, ROW_DATA, ROWS, 20, optimizer=Deterministic()),
            r"plate 'row' draws 20 of its 60 rows.*Stochastic",
        ),
        (
            lambda key: fit(key, plain, lambda y: None, 1.0, optimizer=Deterministic()),
            r"Deterministic was given with function",
        ),
        (lambda key: fit(key, imputed, None, np.ones(2)), r"obs_mask= at site 'y'.*handlers.mask"),
        (lambda key: fit(key, never, None, -1.0), r"observed site 'y' is -inf"),
    ],
)
def test_refusals_name_what_is_wrong_and_the_way_out(call, words):
    with pytest.raises(ValueError, match=words):
        call(jax.random.key(0))


def test_a_bound_argument_is_no_clash():
    fitted = fit(jax.random.key(0), functools.partial(takes_restarts, restarts=2), None, 1.0)
    assert fitted.guide.median(fitted.params)["x"] == pytest.approx(0.5, abs=1e-3)


def test_changed_shapes_are_refused():
    def model(x):
        numpyro.sample("b", dist.Normal(jnp.zeros(x.shape), 1.0).to_event(1))

    guide = AutoFullRank(model)
    fit(jax.random.key(0), model, guide, np.ones(2))
    with pytest.raises(ValueError, match=r"shape \(2,\) of site 'b'.*\(3,\).*new guide"):
        fit(jax.random.key(0), model, guide, np.ones(3))


def test_only_fits_of_the_solver_respond_linearly(mean_field):
    stochastic = fit(
        jax.random.key(0),
        plain,
        AutoMeanField(plain),
        1.0,
        optimizer=Stochastic(max_steps=200, trial_steps=50),
        restarts=1,
        progress_bar=False,
    )
    with pytest.raises(ValueError, match=r"linear_response.*stochastic"):
        stochastic.linear_response()
    with pytest.raises(ValueError, match="num_draws = 0"):
        mean_field.draws(jax.random.key(0), 0)
