"""Fits by the deterministic solver: closed forms, no traces left behind, refusals by name."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from numpyro import handlers
from numpyro.infer.autoguide import AutoNormal

from ppl_ext.numpyro import (
    AutoFullRank,
    AutoMeanField,
    Deterministic,
    Stochastic,
    fit,
    load,
)
from ppl_ext.numpyro.guides import guide_call
from ppl_ext.numpyro.tracing import bound_model, fingerprint, model_call
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
    return fit(jax.random.key(0), regression, X, y=Y, climb=False, enable_x64=True)


@pytest.fixture(scope="module")
def mean_field():
    return fit(jax.random.key(0), regression, X, y=Y, guide=AutoMeanField(regression))


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


def test_draws_are_resampled_by_a_key_of_either_kind(mean_field):
    draws = mean_field.draws(jax.random.key(1), 2000)
    typed, raw, other, by_number = (
        draws.resample(seed).values["c"]
        for seed in (jax.random.key(3), jax.random.PRNGKey(3), jax.random.key(4), 3)
    )
    np.testing.assert_array_equal(typed, raw)
    assert not np.array_equal(typed, other)
    assert not np.array_equal(typed, by_number)
    with pytest.raises(ValueError, match=r"seed is .*; expected .*, a random key such as"):
        draws.resample(jax.random.split(jax.random.key(0), 2))


def test_report_is_made_once(full_rank, mean_field):
    report = full_rank.report()
    assert report.ok
    assert report is full_rank.report()
    assert report.details.log_evidence == pytest.approx(regression_posterior()[2], abs=0.01)
    assert not mean_field.report().ok


def test_linear_response_repairs_the_covariance(mean_field):
    repaired = mean_field.linear_response()
    _, covariance, log_evidence = regression_posterior()
    _, scale_tril = repaired.guide.gaussian(repaired.params)
    np.testing.assert_allclose(
        np.linalg.norm(scale_tril, axis=1), np.sqrt(np.diag(covariance)), rtol=0.02
    )
    # On a Gaussian posterior its ELBO is the evidence, and not that of the mean-field fit.
    assert repaired.solution.elbo == pytest.approx(log_evidence, abs=0.01)
    assert mean_field.solution.elbo < log_evidence - 0.1
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


def test_a_fit_reads_its_model_once(monkeypatch):
    counter, fingerprints = itertools.count(), itertools.count()
    take_fingerprint = fingerprint.take_fingerprint

    def model(x, y):
        next(counter)
        b = numpyro.sample("b", dist.Normal(jnp.zeros(2), 2.0).to_event(1))
        mean = numpyro.deterministic("mean", x @ b)
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)

    def counted(value, seen=None):
        if value is model:
            next(fingerprints)
        return take_fingerprint(value, seen)

    first = fit(jax.random.key(0), model, X[:, 1:], Y, climb=False)
    first.report()  # compiles
    first.draws(jax.random.key(0), 50, posterior_predictive=True)
    for module in (bound_model, model_call, guide_call):
        monkeypatch.setattr(module, "take_fingerprint", counted)
    before = calls(counter)
    data = Y.copy()
    second = fit(jax.random.key(1), model, X[:, 1:], data, climb=False)
    assert calls(fingerprints) == 1
    # A buffer that is filled anew must not change what was fitted.
    data[:] = np.nan
    report = second.report()
    draws = second.draws(jax.random.key(0), 50, posterior_predictive=True)
    second.to_datatree(jax.random.key(0), 50)
    assert calls(fingerprints) == 1
    assert calls(counter) == before
    assert report.ok
    np.testing.assert_array_equal(draws.observed["y"], Y.astype(np.float32))


def test_a_guide_that_is_fitted_again_leaves_the_first_fit_its_data():
    guide = AutoFullRank(regression)
    first = fit(jax.random.key(0), regression, X, Y, guide=guide)
    before = first.guide.median(first.params)
    fit(jax.random.key(0), regression, X + 1, Y, guide=guide)
    mean = X[:, :2] @ before["b"] + X[:, 2] * before["c"]
    drawn = first.guide.sample_posterior(jax.random.key(1), first.params, sample_shape=(2000,))
    np.testing.assert_allclose(drawn["mean"].mean(0), mean, atol=0.1)


def test_a_second_fit_compiles_and_traces_nothing():
    counter = itertools.count()

    def model(x, y):
        next(counter)
        b = numpyro.sample("b", dist.Normal(jnp.zeros(2), 2.0).to_event(1))
        numpyro.sample("y", dist.Normal(x @ b, 1.0), obs=y)

    first = fit(jax.random.key(0), model, X[:, 1:], Y, climb=False)
    first.draws(jax.random.key(0), 300)
    before = calls(counter)
    second = fit(jax.random.key(1), model, X[:, 1:], Y + 1, guide=AutoFullRank(model))
    draws = second.draws(jax.random.key(0), 300)
    assert calls(counter) == before
    assert first.log.compile_seconds > 0
    assert second.log.compile_seconds == 0
    mean = np.linalg.solve(X[:, 1:].T @ X[:, 1:] + np.eye(2) / 4, X[:, 1:].T @ (Y + 1))
    np.testing.assert_allclose(draws.values["b"].mean(0), mean, atol=0.1)


def test_float64_results_serve_outside_of_the_scope(full_rank):
    assert full_rank.params["auto_loc"].dtype == np.float64
    assert full_rank.guide.median(full_rank.params)["b"].shape == (2,)
    assert not any("float32" in note for note in full_rank.log.notes)


def plain(y):
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


def never(y):
    x = numpyro.sample("x", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Gamma(2.0, x), obs=y)


def two_plain(y):
    plain(y)
    numpyro.sample("other", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda key: fit(key, plain, np.nan), r"fit: observed site 'y' has 1 values"),
        (
            lambda key: fit(0, plain, 1.0),
            r"rng_key is 0, a int; .*fit\(jax.random.key\(0\), model",
        ),
        (lambda key: fit(plain, 1.0), r"rng_key is a function; expected .*key\(0\)"),
        (lambda key: fit(jax.random.split(key), plain, 1.0), r"expected one random key"),
        (
            lambda key: fit(key, plain, guide=np.ones(3)),
            r"guide is a ndarray.*fit\(rng_key, model, \*args\)",
        ),
        (lambda key: fit(key, plain, AutoNormal(plain), 1.0), r"the guide AutoNormal stands"),
        (lambda key: fit(key, np.ones(3)), r"model is a ndarray"),
        (lambda key: fit(key, plain, 1.0, num_starts=0), r"num_starts = 0"),
        (
            lambda key: fit(key, plain, 1.0, guide=AutoFullRank(two_plain)),
            r"\['x', 'other'\].*\['x'\]",
        ),
        (lambda key: fit(key, handlers.block(plain, hide=["x"]), 1.0), r"no latent sites"),
        (
            lambda key: fit(key, rows, ROW_DATA, ROWS, 20, guide=AutoFullRank(rows)),
            r"'z'.*AutoMeanField",
        ),
        (
            lambda key: fit(key, rows, ROW_DATA, ROWS, 20, optimizer=Deterministic()),
            r"plate 'row' draws 20 of its 60 rows.*Stochastic",
        ),
        (
            lambda key: fit(key, plain, 1.0, optimizer=Deterministic(), guide=lambda y: None),
            r"Deterministic was given with function",
        ),
        (lambda key: fit(key, never, -1.0), r"observed site 'y' is -inf"),
    ],
)
def test_refusals_name_what_is_wrong_and_the_way_out(call, words):
    with pytest.raises(ValueError, match=words):
        call(jax.random.key(0))


def test_only_fits_of_the_solver_respond_linearly(mean_field):
    stochastic = fit(
        jax.random.key(0),
        plain,
        1.0,
        optimizer=Stochastic(max_steps=200, trial_steps=50),
        num_starts=1,
        progress_bar=False,
        guide=AutoMeanField(plain),
    )
    with pytest.raises(ValueError, match=r"linear_response.*stochastic"):
        stochastic.linear_response()
    with pytest.raises(ValueError, match="num_draws = 0"):
        mean_field.draws(jax.random.key(0), 0)
    with pytest.raises(ValueError, match=r"Fit.draws: rng_key is 3, a int"):
        mean_field.draws(3)
