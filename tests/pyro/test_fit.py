"""What ``fit`` has to do in Pyro alone; what both rooms must do is asked in tests/rooms."""

import functools
import itertools

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.autoguide import AutoNormal
from scipy import stats

import ppl_ext.pyro as px
from ppl_ext.diagnostics import judging
from ppl_ext.pyro.tracing import bound_model
from tests.pyro.models import QUICK, X, Y, regression


@pytest.fixture(scope="module")
def full_rank():
    return px.fit(regression, X, Y, climb=False)


def test_draws(full_rank):
    draws = full_rank.draws(2000, posterior_predictive=True)
    beta = draws.values["beta"]
    x, y = X.double().numpy(), Y.double().numpy()
    np.testing.assert_allclose(draws.values["mean"], beta @ x.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        draws.log_likelihood["y"], stats.norm(beta @ x.T, 1).logpdf(y), atol=1e-4
    )
    prior = stats.norm(0, 2).logpdf(beta).sum(-1)
    np.testing.assert_allclose(draws.log_p, prior + draws.log_likelihood["y"].sum(-1), atol=1e-3)
    loc, scale_tril = full_rank.guide.gaussian()
    q = stats.multivariate_normal(loc, scale_tril @ scale_tril.T)
    np.testing.assert_allclose(draws.log_q, q.logpdf(beta), atol=1e-4)
    np.testing.assert_array_equal(draws.observed["y"], Y)
    assert draws.dims["y"] == ("row",)
    noise = draws.posterior_predictive["y"] - draws.values["mean"]
    # One in ten thousand such tests fails by chance.
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-4
    tree = draws.to_datatree()
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "row")


def test_draws_without_a_seed_follow_the_random_state(full_rank):
    with torch.random.fork_rng():
        pyro.set_rng_seed(3)
        first, second = (full_rank.draws(3).log_p for _ in range(2))
        pyro.set_rng_seed(3)
        again = full_rank.to_datatree(3)["sample_stats"]["lp"][0]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_a_model_that_cannot_be_vectorised_is_fitted_with_a_note():
    def model(y):
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        assert float(x.detach()) < 1e6
        pyro.sample("y", dist.Normal(x, 1.0), obs=y)

    settings = px.Deterministic(num_draws=32)
    fitted = px.fit(model, torch.tensor(1.0), optimizer=settings, climb=False)
    assert "draw by draw" in fitted.log.notes[-1]
    np.testing.assert_allclose(fitted.guide.gaussian()[0], 0.5, atol=1e-2)
    assert fitted.draws(5).log_likelihood["y"].shape == (5,)


def test_a_model_that_cannot_be_vectorised_is_not_sampled(monkeypatch):
    # Draw by draw the whole of a report would take its time.
    monkeypatch.setattr(judging, "_DRAWS", 3000)
    fewer = functools.partial(judging.probe_tails, num_draws=1024)
    monkeypatch.setattr(judging, "probe_tails", fewer)
    monkeypatch.setattr(judging, "count_searches", lambda dim: 6)

    def model(y):
        x = pyro.sample("x", dist.Normal(0.0, 2.0))
        assert float(x.detach()) < 1e6
        pyro.sample("y", dist.Normal(x**2, 0.5), obs=y)

    settings = px.Deterministic(num_draws=32, num_starts=1)
    fitted = px.fit(model, torch.tensor(4.0), optimizer=settings, progress_bar=False)
    assert [step.name for step in fitted.climb.steps] == ["full rank"]
    report = fitted.report()
    assert report.verdict == "not to be trusted"
    assert "before sequential Monte Carlo: the model of 'x' cannot be" in report.notes[0]
    assert not fitted.draws(5).resampled


def test_zero_density_everywhere_is_explained():
    def model(y):
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Uniform(x, x + 1), obs=y)

    with pytest.raises(ValueError, match=r"'y'.*outside the support"):
        px.fit(model, torch.tensor(1e6))


def other_model(x, y):
    pyro.sample("gamma", dist.Normal(0.0, 1.0))


def two_sites(x, y):
    pyro.sample("beta", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    pyro.sample("more", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: px.fit(regression, px.AutoFullRank, X, Y),
            ["AutoFullRank", "guide=AutoFullRank"],
        ),
        (lambda: px.fit(regression, None, X, Y), ["None", "fit(model, *args)"]),
        (lambda: px.fit(regression, X, Y, guide=X), ["guide is a Tensor", "Leave it out"]),
        (lambda: px.fit("model"), ["model is a str"]),
        (lambda: px.fit(regression, X, Y, num_starts=0), ["num_starts = 0"]),
        (
            lambda: px.fit(regression, X, Y, guide=px.AutoFullRank(other_model)),
            ["AutoFullRank", "['gamma']", "['beta']"],
        ),
        (
            lambda: px.fit(regression, X, Y, guide=px.AutoMeanField(two_sites)),
            ["['beta', 'more']", "['beta']"],
        ),
        (
            lambda: px.fit(
                regression, X, Y * torch.nan, guide=px.AutoMeanField(regression).setup(X)
            ),
            ["fit: ", "'y'", "NaN"],
        ),
        (
            lambda: px.fit(regression, X, Y, guide=lambda x, y: None, optimizer=QUICK),
            ["<lambda>", "['beta']"],
        ),
        (
            lambda: px.fit(
                regression, X, Y, guide=AutoNormal(regression), optimizer=px.Deterministic()
            ),
            ["Deterministic", "AutoNormal"],
        ),
        (
            lambda: px.fit(lambda y: pyro.sample("y", dist.Normal(0.0, 1.0), obs=y), Y[0]),
            ["fit: ", "no latent site"],
        ),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match="fit: ") as error:
        call()
    for word in words:
        assert word in str(error.value)


def test_a_fit_reads_its_model_once(monkeypatch):
    looks, runs = itertools.count(), itertools.count()
    trace_sites = bound_model.trace_sites

    def counted(*args):
        next(looks)
        return trace_sites(*args)

    def model(x, y):
        next(runs)
        regression(x, y)

    monkeypatch.setattr(bound_model, "trace_sites", counted)
    y = Y.clone()
    fitted = px.fit(model, X, y, climb=False)
    # A buffer that is filled anew must not change what was fitted.
    y[:] = torch.nan
    before = next(runs)
    draws = fitted.draws(1000, seed=0)
    assert next(runs) == before + 2  # one batch
    assert fitted.report().ok
    assert next(looks) == 1
    np.testing.assert_array_equal(draws.observed["y"], Y)


@pytest.mark.parametrize("optimizer", [None, QUICK])
def test_the_parameter_store_is_left_as_found(optimizer):
    with pyro.get_param_store().scope():
        pyro.param("AutoMeanField.locs.beta", torch.tensor(1.0))
        pyro.param("loc", torch.tensor(2.0))
        fitted = px.fit(regression, X, Y, optimizer=optimizer, num_starts=2)
        fitted.draws(10, posterior_predictive=True)
        fitted.report()
        found = {name: value.item() for name, value in pyro.get_param_store().items()}
    assert found == {"AutoMeanField.locs.beta": 1.0, "loc": 2.0}
