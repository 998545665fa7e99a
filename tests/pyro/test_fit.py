"""fit, its draws and its report on conjugate models; bad input; what must stay as it was."""

import functools
import random

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.autoguide import AutoDiagonalNormal, AutoNormal
from scipy import stats

import ppl_ext.pyro as px

X = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 4.0]])
Y = torch.tensor([1.0, 2.5, 2.0, 5.0])


def regression(x, y=None):
    """beta ~ N(0, 2^2 I), y ~ N(x beta, 1): conjugate."""
    beta = pyro.sample("beta", dist.Normal(torch.zeros(2), 2.0).to_event(1))
    mean = pyro.deterministic("mean", x @ beta)
    with pyro.plate("row", len(x)):
        pyro.sample("y", dist.Normal(mean, 1.0), obs=y)


PRECISION = X.double().numpy().T @ X.double().numpy() + np.eye(2) / 4
COVARIANCE = np.linalg.inv(PRECISION)
MEAN = COVARIANCE @ X.double().numpy().T @ Y.double().numpy()
LOG_EVIDENCE = stats.multivariate_normal(
    np.zeros(4), np.eye(4) + 4 * X.double().numpy() @ X.double().numpy().T
).logpdf(Y.double().numpy())

QUICK = px.Stochastic(max_steps=400, trial_steps=40)


@pytest.fixture(scope="module")
def full_rank():
    return px.fit(regression, None, X, Y)


@pytest.fixture(scope="module")
def mean_field():
    return px.fit(regression, px.AutoMeanField(regression), X, y=Y)


def test_full_rank_is_the_conjugate_posterior(full_rank):
    loc, scale_tril = full_rank.guide.gaussian()
    np.testing.assert_allclose(loc, MEAN, atol=1e-3)
    np.testing.assert_allclose(scale_tril @ scale_tril.T, COVARIANCE, rtol=1e-2, atol=1e-4)
    assert isinstance(full_rank.guide, px.AutoFullRank)
    assert full_rank.log.converged
    report = full_rank.report()
    assert report.ok
    assert report is full_rank.report()
    np.testing.assert_allclose(report.details.log_evidence, LOG_EVIDENCE, atol=1e-2)


def test_mean_field_optimum_and_its_linear_response(mean_field):
    loc, scale = mean_field.guide.gaussian()
    np.testing.assert_allclose(loc, MEAN, atol=1e-2)
    np.testing.assert_allclose(scale**2, 1 / np.diag(PRECISION), rtol=1e-2)
    repaired = mean_field.linear_response()
    loc, scale_tril = repaired.guide.gaussian()
    np.testing.assert_allclose(loc, MEAN, atol=1e-2)
    np.testing.assert_allclose(scale_tril @ scale_tril.T, COVARIANCE, rtol=0.05, atol=0.005)
    assert repaired.draws(5).values["beta"].shape == (5, 2)
    with pytest.raises(ValueError, match="full rank"):
        repaired.linear_response()


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


def test_same_seed_same_answer(full_rank):
    again = px.fit(regression, None, X, Y)
    np.testing.assert_array_equal(again.guide.gaussian()[0], full_rank.guide.gaussian()[0])
    np.testing.assert_array_equal(again.draws(3).log_p, full_rank.draws(3).log_p)
    assert not np.array_equal(full_rank.draws(3, seed=1).log_p, full_rank.draws(3).log_p)


def test_more_than_a_thousand_dimensions_get_a_mean_field():
    def model():
        pyro.sample("x", dist.Normal(torch.zeros(1001), 1.0).to_event(1))

    fitted = px.fit(
        model, None, optimizer=px.Deterministic(num_draws=16, max_draws=16, num_starts=1)
    )
    assert isinstance(fitted.guide, px.AutoMeanField)
    np.testing.assert_allclose(fitted.guide.gaussian()[1], 1.0, rtol=0.05)


def test_a_model_that_cannot_be_vectorised_is_fitted_with_a_note():
    def model(y):
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        assert float(x.detach()) < 1e6
        pyro.sample("y", dist.Normal(x, 1.0), obs=y)

    fitted = px.fit(model, None, torch.tensor(1.0), optimizer=px.Deterministic(num_draws=32))
    assert "draw by draw" in fitted.log.notes[-1]
    np.testing.assert_allclose(fitted.guide.gaussian()[0], 0.5, atol=1e-2)
    assert fitted.draws(5).log_likelihood["y"].shape == (5,)


def test_stochastic_reaches_the_conjugate_posterior():
    guide = px.AutoMeanField(regression)
    fitted = px.fit(regression, guide, X, Y, optimizer=px.Stochastic(max_steps=1500), restarts=2)
    loc, scale = guide.gaussian()
    np.testing.assert_allclose(loc, MEAN, atol=0.1)
    np.testing.assert_allclose(scale**2, 1 / np.diag(PRECISION), rtol=0.2)
    assert fitted.guide is guide
    assert fitted.solution is None
    assert len(fitted.log.start_losses) == 2
    assert set(fitted.params) == {f"{guide._pyro_name}.{part}.beta" for part in ("locs", "scales")}
    with pytest.raises(ValueError, match="stochastic"):
        fitted.linear_response()


def test_any_guide_is_fitted_drawn_and_judged():
    def guide(x, y):
        loc = pyro.param("loc", torch.zeros(2))
        scale = pyro.param("scale", torch.full((2,), 0.3), constraint=dist.constraints.positive)
        pyro.sample("beta", dist.Normal(loc, scale).to_event(1))

    fitted = px.fit(regression, guide, X, Y, optimizer=px.Stochastic(max_steps=1500), restarts=2)
    np.testing.assert_allclose(fitted.params["loc"], MEAN, atol=0.1)
    draws = fitted.draws(1000)
    scale = fitted.params["scale"].numpy()
    q = stats.norm(fitted.params["loc"].numpy(), scale)
    np.testing.assert_allclose(draws.log_q, q.logpdf(draws.values["beta"]).sum(-1), atol=1e-3)
    assert fitted.report().details.tail_shift is not None
    assert not len(pyro.get_param_store())


def test_host_guides_and_restarts_from_different_points():
    guide = AutoDiagonalNormal(regression)
    fitted = px.fit(regression, guide, X, Y, optimizer=QUICK, restarts=3)
    draws = fitted.draws(50)
    assert np.isfinite(draws.log_weights).all()
    assert len(set(fitted.log.start_losses)) == 3
    # The guide itself is left with the parameters of the fit.
    loc = fitted.params["AutoDiagonalNormal.loc"]
    np.testing.assert_array_equal(guide.loc.detach(), loc)


def test_subsampling_models_go_to_the_hosts_svi():
    y = torch.linspace(-2.0, 4.0, 20)

    def model(y):
        mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        with pyro.plate("row", 20, subsample_size=5) as rows:
            local = pyro.sample("local", dist.Normal(mu, 1.0))
            pyro.sample("y", dist.Normal(local, 1.0), obs=y[rows])

    fitted = px.fit(model, None, y, optimizer=QUICK, restarts=1)
    assert isinstance(fitted.guide, px.AutoMeanField)
    assert fitted.density is None
    # Draws see all rows, and both densities are exact.
    draws = fitted.draws(4)
    assert draws.values["local"].shape == (4, 20)
    mu, local = draws.values["mu"], draws.values["local"]
    expected = stats.norm(0, 10).logpdf(mu) + stats.norm(mu[:, None], 1).logpdf(local).sum(-1)
    expected += stats.norm(local, 1).logpdf(y.numpy()).sum(-1)
    np.testing.assert_allclose(draws.log_p, expected, rtol=1e-5)
    assert draws.log_likelihood["y"].shape == (4, 20)
    with pytest.raises(ValueError, match="'row' subsamples"):
        px.fit(model, None, y, optimizer=px.Deterministic())


def test_bad_data_of_a_minibatch_model():
    def model(y):
        mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        with pyro.plate("row", 4, subsample_size=2):
            pyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    with pytest.raises(ValueError, match=r"fit: .*'y' are NaN"):
        px.fit(model, None, torch.tensor(torch.nan), optimizer=QUICK)


def test_learnable_parameters_of_the_model():
    def model(y):
        width = pyro.param("width", torch.tensor(1.0), constraint=dist.constraints.positive)
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("row", len(y)):
            pyro.sample("y", dist.Normal(x, width), obs=y)

    fitted = px.fit(model, None, torch.linspace(-3, 3, 30), optimizer=QUICK, restarts=1)
    assert fitted.params["width"] > 1.1
    assert fitted.draws(3).log_p.shape == (3,)


def test_interruption_keeps_what_was_reached():
    calls = 0

    def model(y):
        nonlocal calls
        calls += 1
        if calls == 60:
            raise KeyboardInterrupt
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(x, 1.0), obs=y)

    guide = px.AutoMeanField(model)
    optimizer = px.Stochastic(max_steps=500)
    fitted = px.fit(model, guide, torch.tensor(1.0), optimizer=optimizer, restarts=1)
    assert fitted.log.interrupted
    assert 20 < len(fitted.log.losses) < 60
    assert np.isfinite(guide.gaussian()[0]).all()


@pytest.mark.parametrize("when", range(25, 60, 3))
def test_interruption_at_any_time_of_the_trials(when):
    calls = 0

    def model(y):
        nonlocal calls
        calls += 1
        if calls == when:
            raise KeyboardInterrupt
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(x, 1.0), obs=y)

    guide = px.AutoMeanField(model)
    optimizer = px.Stochastic(max_steps=500, trial_steps=10)
    fitted = px.fit(model, guide, torch.tensor(1.0), optimizer=optimizer, restarts=3)
    assert fitted.log.interrupted
    assert np.isfinite(fitted.log.start_losses).any()
    if len(fitted.log.start_losses) == 1:  # then the steps of the first start are all there were
        assert fitted.log.gradients == len(fitted.log.losses)
    assert np.isfinite(fitted.draws(3).log_weights).all()


def test_divergence_names_step_and_site():
    def model(y):
        rate = pyro.sample("rate", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Poisson(rate), obs=y)

    with pytest.raises(FloatingPointError, match=r"at step \d+: .*model site 'y'"):
        px.fit(
            model, px.AutoMeanField(model), torch.tensor(3.0), optimizer=QUICK, restarts=2, seed=1
        )


def test_zero_density_everywhere_is_explained():
    def model(y):
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Uniform(x, x + 1), obs=y)

    with pytest.raises(ValueError, match=r"'y'.*outside the support"):
        px.fit(model, None, torch.tensor(1e6))


def with_restarts(x, restarts=3):
    pyro.sample("a", dist.Normal(0.0, 1.0))


def other_model(x, y):
    pyro.sample("gamma", dist.Normal(0.0, 1.0))


def two_sites(x, y):
    pyro.sample("beta", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    pyro.sample("more", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: px.fit(regression, px.AutoFullRank, X, Y), ["class AutoFullRank", "instance"]),
        (lambda: px.fit(regression, X, Y), ["guide is a Tensor", "None"]),
        (lambda: px.fit("model"), ["model is a str"]),
        (lambda: px.fit(regression, None, X, Y, restarts=0), ["restarts = 0"]),
        (lambda: px.fit(with_restarts, None, X), ["'restarts'", "functools.partial"]),
        (
            lambda: px.fit(regression, px.AutoFullRank(other_model), X, Y),
            ["AutoFullRank", "['gamma']", "['beta']"],
        ),
        (
            lambda: px.fit(regression, px.AutoMeanField(two_sites), X, Y),
            ["['beta', 'more']", "['beta']"],
        ),
        (
            lambda: px.fit(regression, px.AutoMeanField(regression).setup(X), X, Y * torch.nan),
            ["fit: ", "'y'", "NaN"],
        ),
        (
            lambda: px.fit(regression, lambda x, y: None, X, Y, optimizer=QUICK),
            ["<lambda>", "['beta']"],
        ),
        (
            lambda: px.fit(regression, AutoNormal(regression), X, Y, optimizer=px.Deterministic()),
            ["Deterministic", "AutoNormal"],
        ),
        (
            lambda: px.fit(lambda y: pyro.sample("y", dist.Normal(0.0, 1.0), obs=y), None, Y[0]),
            ["fit: ", "no latent site"],
        ),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match="fit: ") as error:
        call()
    for word in words:
        assert word in str(error.value)


def test_changed_shapes():
    def model(y):
        with pyro.plate("row", len(y)):
            x = pyro.sample("x", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(x, 1.0), obs=y)

    guide = px.AutoMeanField(model)
    px.fit(model, guide, Y)
    with pytest.raises(ValueError, match=r"\(4,\) of site 'x', the model now has \(3,\)"):
        px.fit(model, guide, Y[:3])


def test_reserved_names_may_be_bound_or_given_by_position():
    settings = px.Deterministic(num_draws=16, max_draws=16, num_starts=1)
    px.fit(functools.partial(with_restarts, restarts=2), None, X, optimizer=settings)
    px.fit(with_restarts, None, X, 2, optimizer=settings)


def state():
    return (
        {k: v.detach().clone() for k, v in pyro.get_param_store().items()},
        torch.random.get_rng_state(),
        np.random.get_state()[1].copy(),
        random.getstate(),
        torch.distributions.Distribution._validate_args,
        pyro.settings.get(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
    )


@pytest.mark.parametrize("optimizer", [None, QUICK])
def test_global_state_is_left_as_found(optimizer):
    with pyro.get_param_store().scope():
        pyro.param("AutoMeanField.locs.beta", torch.tensor(1.0))
        pyro.param("loc", torch.tensor(2.0))
        torch.manual_seed(5)
        before = state()
        guide = px.AutoMeanField(regression)
        fitted = px.fit(regression, guide, X, Y, optimizer=optimizer, restarts=2)
        fitted.draws(10, posterior_predictive=True)
        fitted.report()
        after = state()
        for old, new in zip(before, after, strict=True):
            assert repr(old) == repr(new)
        assert torch.equal(before[1], after[1])
