"""Fits by the host's SVI: what they reach, what they compile, and how they end."""

import itertools

import jax
import jax.numpy as jnp
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
        jax.random.key(0), counted, AutoFullRank(counted), X, Y, optimizer=SHORT, restarts=2
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
        jax.random.key(0), counted, AutoFullRank(counted), X, Y, optimizer=SHORT, restarts=2
    )
    assert calls(COUNTER) == before
    assert again.log.compile_seconds == 0
    np.testing.assert_array_equal(again.log.losses, stochastic.log.losses)
    for name, value in stochastic.params.items():
        np.testing.assert_array_equal(again.params[name], value)
    other = fit(
        jax.random.key(1), counted, AutoFullRank(counted), X, Y + 1, optimizer=SHORT, restarts=1
    )
    assert calls(COUNTER) == before
    loc = other.guide.gaussian(other.params)[0]
    np.testing.assert_allclose(loc, regression_posterior(y=Y + 1)[0], atol=0.05)


def test_minibatches_are_drawn_and_judged_on_all_rows():
    fitted = fit(
        jax.random.key(0),
        rows,
        None,
        ROW_DATA,
        ROWS,
        20,
        optimizer=Stochastic(max_steps=6000, trial_steps=200),
        restarts=1,
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


@pytest.mark.parametrize(
    ("make", "optim"),
    [(AutoNormal, numpyro.optim.Adam(0.02)), (AutoIAFNormal, optax.adam(0.01))],
)
def test_guides_and_optimisers_of_the_host(make, optim):
    settings = Stochastic(optim=optim, elbo=Trace_ELBO(), max_steps=2000, trial_steps=100)
    guide = make(regression)
    fitted = fit(jax.random.key(0), regression, guide, X, Y, optimizer=settings, restarts=2)
    losses = fitted.log.start_losses
    assert losses[0] != losses[1]
    draws = fitted.draws(jax.random.key(1), 300)
    _, _, log_evidence = regression_posterior()
    assert draws.log_weights.mean() == pytest.approx(log_evidence, abs=2.5)
    assert np.isfinite(fitted.report().khat)
    with pytest.raises(ValueError, match="expected one of AutoFullRank"):
        fitted.save("nowhere")


def test_parameters_of_the_model_are_learnt():
    def model(y):
        m = numpyro.param("m", 0.0)
        numpyro.sample("x", dist.Normal(m, 1.0))
        numpyro.sample("y", dist.Normal(m, 1.0), obs=y)

    settings = Stochastic(max_steps=3000, trial_steps=100)
    fitted = fit(jax.random.key(0), model, None, np.full(20, 2.0), optimizer=settings, restarts=1)
    assert fitted.params["m"] == pytest.approx(2.0, abs=0.05)
    assert fitted.density is None
    assert fitted.draws(jax.random.key(0), 100).values["x"].mean() == pytest.approx(2.0, abs=0.4)


def test_nan_stops_with_step_and_site():
    def cliff(y):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        # A square root whose argument leaves its domain once x has learnt that it should be large.
        numpyro.sample("y", dist.Normal(jnp.sqrt(3.0 - x), 1.0, validate_args=False), obs=y)

    init = numpyro.infer.init_to_value(values={"x": 0.0})
    with pytest.raises(FloatingPointError, match=r"at step \d+: .*'(y|x)'"):
        fit(
            jax.random.key(0),
            cliff,
            AutoMeanField(cliff, init_loc_fn=init, init_scale=0.5),
            np.full(50, -5.0),
            optimizer=Stochastic(max_steps=2000, trial_steps=100),
            restarts=1,
        )


@pytest.mark.parametrize("when", [0, 2, 12])
def test_interruption_keeps_what_was_reached(monkeypatch, when):
    from ppl_ext.numpyro import stochastic as module

    advance, made = module.Programs.advance, itertools.count()

    def interrupted(self, progress, steps, arrays):
        if next(made) == when:
            raise KeyboardInterrupt
        return advance(self, progress, steps, arrays)

    monkeypatch.setattr(module.Programs, "advance", interrupted)
    fitted = fit(
        jax.random.key(0), counted, AutoFullRank(counted), X, Y, optimizer=SHORT, restarts=2
    )
    assert fitted.log.interrupted
    assert not fitted.log.converged
    assert len(fitted.log.losses) < 6000
    if when <= 2:  # in the first trial, whose steps are then all that were made
        assert len(fitted.log.losses) == fitted.log.gradients == 60 * when
    assert np.isfinite(fitted.draws(jax.random.key(0), 10).log_weights).all()


def test_a_guide_of_another_model_is_refused():
    def other(x, y):
        numpyro.sample("elsewhere", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match=r"draws the sites \['elsewhere'\].*\['b', 'c'\]"):
        fit(jax.random.key(0), regression, AutoNormal(other), X, Y, restarts=1)
    hidden = AutoNormal(handlers.block(regression, hide=["c", "mean"]))
    with pytest.raises(ValueError, match=r"draws the sites \['b'\].*\['b', 'c'\]"):
        fit(jax.random.key(0), regression, hidden, X, Y, restarts=1)


def test_draws_need_a_model_that_can_see_all_rows():
    def model(size, batch):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        with numpyro.plate("row", size, subsample_size=len(batch)):
            numpyro.sample("y", dist.Normal(x, 1.0), obs=batch)

    settings = Stochastic(max_steps=200, trial_steps=50)
    fitted = fit(jax.random.key(0), model, None, 100, np.ones(10), optimizer=settings, restarts=1)
    assert np.isfinite(fitted.log.final_loss)
    with pytest.raises(ValueError, match=r"all rows of the plates \['row'\].*obs=y\[i\]"):
        fitted.draws(jax.random.key(0), 10)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="max_steps = 0"):
        Stochastic(max_steps=0)
