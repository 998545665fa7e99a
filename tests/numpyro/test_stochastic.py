"""Fits by the host's SVI: what they reach, what they compile, and how they end."""

import itertools

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro import handlers
from numpyro.infer import Trace_ELBO
from numpyro.infer.autoguide import AutoIAFNormal, AutoNormal

from ppl_ext.numpyro import AutoFullRank, AutoMeanField, Stochastic, fit
from tests.numpyro.models import (
    ROW_DATA,
    ROWS,
    X,
    Y,
    calls,
    regression,
    regression_posterior,
    row_means,
    rows,
)

COUNTER = itertools.count()
SHORT = Stochastic(max_steps=6000, trial_steps=200)


def counted(x, y):
    next(COUNTER)
    regression(x, y)


@pytest.fixture(scope="module")
def stochastic():
    return fit(
        jax.random.key(0),
        counted,
        X,
        Y,
        optimizer=SHORT,
        num_starts=2,
        guide=AutoFullRank(counted),
    )


def test_it_reaches_the_posterior(stochastic):
    mean, covariance, log_evidence = regression_posterior()
    sd = np.sqrt(np.diag(covariance))
    loc, scale_tril = stochastic.guide.gaussian(stochastic.params)
    np.testing.assert_allclose((loc - mean) / sd, 0, atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(scale_tril, axis=1) / sd, 1, atol=0.05)
    assert stochastic.report().ok
    assert min(stochastic.log.start_losses) == pytest.approx(-log_evidence, abs=0.05)
    assert len(stochastic.log.start_losses) == 2
    assert stochastic.solution is None


def test_the_same_shapes_compile_once(stochastic):
    before = calls(COUNTER)
    again = fit(
        jax.random.key(0),
        counted,
        X,
        Y,
        optimizer=SHORT,
        num_starts=2,
        guide=AutoFullRank(counted),
    )
    assert calls(COUNTER) == before
    assert again.log.compile_seconds == 0
    np.testing.assert_array_equal(again.log.losses, stochastic.log.losses)
    for name, value in stochastic.params.items():
        np.testing.assert_array_equal(again.params[name], value)
    other = fit(
        jax.random.key(1),
        counted,
        X,
        Y + 1,
        optimizer=SHORT,
        num_starts=1,
        guide=AutoFullRank(counted),
    )
    assert calls(COUNTER) == before
    loc = other.guide.gaussian(other.params)[0]
    np.testing.assert_allclose(loc, regression_posterior(y=Y + 1)[0], atol=0.05)


def test_minibatches_are_drawn_and_judged_on_all_rows():
    fitted = fit(
        jax.random.key(0),
        rows,
        ROW_DATA,
        ROWS,
        20,
        optimizer=Stochastic(max_steps=6000, trial_steps=200),
        num_starts=1,
    )
    assert isinstance(fitted.guide, AutoMeanField)
    assert fitted.density is None
    draws = fitted.draws(jax.random.key(1), 2000)
    assert draws.values["z"].shape == (2000, ROWS)
    assert draws.log_likelihood["y"].shape == (2000, ROWS)
    assert draws.dims["z"] == ("row",)
    np.testing.assert_array_equal(draws.observed["y"], ROW_DATA.astype(np.float32))
    error = np.sqrt(np.mean((draws.values["z"].mean(0) - row_means()) ** 2))
    assert error < 0.08
    # Both sites of a row are conjugate: p(y) and p(v) are normal with variance 1.25.
    evidence = 2 * np.sum(-0.5 * ROW_DATA**2 / 1.25 - 0.5 * np.log(2 * np.pi * 1.25))
    elbo = draws.log_weights.mean()
    assert evidence - 3 < elbo < evidence + 0.1


def test_an_optimiser_of_the_host_makes_a_fit_stochastic():
    fitted = fit(jax.random.key(0), regression, X, Y, optimizer=optax.adam(0.02), num_starts=1)
    assert fitted.solution is None
    assert fitted.report().ok


@pytest.mark.parametrize(
    ("make", "optim"),
    [(AutoNormal, numpyro.optim.Adam(0.02)), (AutoIAFNormal, optax.adam(0.01))],
)
def test_guides_and_optimisers_of_the_host(make, optim):
    settings = Stochastic(optim=optim, elbo=Trace_ELBO(), max_steps=2000, trial_steps=100)
    guide = make(regression)
    fitted = fit(
        jax.random.key(0), regression, X, Y, optimizer=settings, num_starts=2, guide=guide
    )
    losses = fitted.log.start_losses
    assert losses[0] != losses[1]
    draws = fitted.draws(jax.random.key(1), 300)
    _, _, log_evidence = regression_posterior()
    assert draws.log_weights.mean() == pytest.approx(log_evidence, abs=2.5)
    assert np.isfinite(fitted.report().khat)
    with pytest.raises(ValueError, match="expected one of AutoFlow, AutoFullRank"):
        fitted.save("nowhere")


def test_parameters_of_the_model_are_learnt():
    def model(y):
        m = numpyro.param("m", 0.0)
        numpyro.sample("x", dist.Normal(m, 1.0))
        numpyro.sample("y", dist.Normal(m, 1.0), obs=y)

    settings = Stochastic(max_steps=3000, trial_steps=100)
    fitted = fit(jax.random.key(0), model, np.full(20, 2.0), optimizer=settings, num_starts=1)
    assert fitted.params["m"] == pytest.approx(2.0, abs=0.05)
    assert fitted.density is None
    assert fitted.draws(jax.random.key(0), 100).values["x"].mean() == pytest.approx(2.0, abs=0.4)


def test_a_guide_of_another_model_is_refused():
    def other(x, y):
        numpyro.sample("elsewhere", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match=r"draws the sites \['elsewhere'\].*\['b', 'c'\]"):
        fit(jax.random.key(0), regression, X, Y, num_starts=1, guide=AutoNormal(other))
    hidden = AutoNormal(handlers.block(regression, hide=["c", "mean"]))
    with pytest.raises(ValueError, match=r"draws the sites \['b'\].*\['b', 'c'\]"):
        fit(jax.random.key(0), regression, X, Y, num_starts=1, guide=hidden)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="max_steps = 0"):
        Stochastic(max_steps=0)
