"""Fits by Pyro's SVI: what they reach, how they end, and what they leave to other fits."""

import itertools

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.autoguide import AutoDiagonalNormal, AutoGuideList, AutoNormal
from scipy import stats

import ppl_ext.pyro as px
from tests.pyro.models import MEAN, PRECISION, QUICK, X, Y, regression


def test_stochastic_reaches_the_conjugate_posterior():
    guide = px.AutoMeanField(regression)
    optimizer = px.Stochastic(max_steps=1500)
    fitted = px.fit(regression, X, Y, guide=guide, optimizer=optimizer, num_starts=2)
    loc, scale = guide.gaussian()
    np.testing.assert_allclose(loc, MEAN, atol=0.1)
    np.testing.assert_allclose(scale**2, 1 / np.diag(PRECISION), rtol=0.2)
    np.testing.assert_array_equal(fitted.guide.gaussian(), (loc, scale))
    assert fitted.solution is None
    assert len(fitted.log.start_losses) == 2
    name = fitted.guide._pyro_name
    assert set(fitted.params) == {f"{name}.{part}.beta" for part in ("locs", "scales")}
    with pytest.raises(ValueError, match="stochastic"):
        fitted.linear_response()


def test_any_guide_is_fitted_drawn_and_judged():
    def guide(x, y):
        loc = pyro.param("loc", torch.zeros(2))
        scale = pyro.param("scale", torch.full((2,), 0.3), constraint=dist.constraints.positive)
        pyro.sample("beta", dist.Normal(loc, scale).to_event(1))

    optimizer = px.Stochastic(max_steps=1500)
    fitted = px.fit(regression, X, Y, guide=guide, optimizer=optimizer, num_starts=2)
    np.testing.assert_allclose(fitted.params["loc"], MEAN, atol=0.1)
    draws = fitted.draws(1000)
    scale = fitted.params["scale"].numpy()
    q = stats.norm(fitted.params["loc"].numpy(), scale)
    np.testing.assert_allclose(draws.log_q, q.logpdf(draws.values["beta"]).sum(-1), atol=1e-3)
    assert fitted.report().details.tail_shift is not None
    assert not len(pyro.get_param_store())


def test_host_guides_and_starts_from_different_points(monkeypatch):
    guide = AutoDiagonalNormal(regression)
    fitted = px.fit(regression, X, Y, guide=guide, optimizer=QUICK, num_starts=3)
    calls = itertools.count()
    forward = AutoDiagonalNormal.forward
    monkeypatch.setattr(
        AutoDiagonalNormal, "forward", lambda *args: (next(calls), forward(*args))[1]
    )
    values = fitted.draws(1000, seed=0).values["beta"]
    assert next(calls) == 1  # all draws together
    loc, scale = (p.detach().numpy() for p in (fitted.guide.loc, fitted.guide.scale))
    for column, mean, sd in zip(values.T, loc, scale, strict=True):
        # One in ten thousand such tests fails by chance.
        assert stats.kstest(column, stats.norm(mean, sd).cdf).pvalue > 1e-4
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

    fitted = px.fit(model, y, optimizer=QUICK, num_starts=1)
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
        px.fit(model, y, optimizer=px.Deterministic())


def test_bad_data_of_a_minibatch_model():
    def model(y):
        mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        with pyro.plate("row", 4, subsample_size=2):
            pyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    with pytest.raises(ValueError, match=r"fit: .*'y' are NaN"):
        px.fit(model, torch.full((2,), torch.nan), optimizer=QUICK)


def test_learnable_parameters_of_the_model():
    def model(y):
        width = pyro.param("width", torch.tensor(1.0), constraint=dist.constraints.positive)
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("row", len(y)):
            pyro.sample("y", dist.Normal(x, width), obs=y)

    fitted = px.fit(model, torch.linspace(-3, 3, 30), optimizer=QUICK, num_starts=1)
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
    fitted = px.fit(model, torch.tensor(1.0), guide=guide, optimizer=optimizer, num_starts=1)
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
    fitted = px.fit(model, torch.tensor(1.0), guide=guide, optimizer=optimizer, num_starts=3)
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
            model,
            torch.tensor(3.0),
            guide=px.AutoMeanField,
            optimizer=px.Stochastic(max_steps=400, trial_steps=40, phases=1),
            num_starts=2,
            seed=1,
        )


def pair(model):
    guide = AutoGuideList(model)
    guide.append(AutoNormal(model))
    return guide


class Amortised(torch.nn.Module):
    """A guide that registers its weights with ``pyro.module``."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def guide(self, x, y):
        pyro.module("layer", self.layer)
        pyro.sample("beta", dist.Normal(self.layer(y), 0.5).to_event(1))


def of_parameters(x, y):
    loc = pyro.param("loc", torch.zeros(2))
    pyro.sample("beta", dist.Normal(loc, 0.5).to_event(1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: px.AutoFullRank(regression),
        lambda: AutoDiagonalNormal(regression),
        lambda: AutoNormal(regression),
        lambda: pair(regression),
        lambda: Amortised().guide,
        lambda: of_parameters,
    ],
    ids=["ours", "one tensor", "parts", "list", "module", "function"],
)
def test_a_second_fit_leaves_the_draws_of_the_first(make):
    guide, settings = make(), px.Stochastic(max_steps=60)
    first = px.fit(regression, X, Y, guide=guide, optimizer=settings, num_starts=1)
    before = first.draws(5, seed=0)
    second = px.fit(regression, X, -Y, guide=guide, optimizer=settings, num_starts=1)
    live = {name: p.detach().clone() for name, p in tensors_of(guide).items()}
    after, other = first.draws(5, seed=0), second.draws(5, seed=0)
    np.testing.assert_array_equal(after.values["beta"], before.values["beta"])
    np.testing.assert_array_equal(after.log_q, before.log_q)
    assert not np.isclose(other.values["beta"], before.values["beta"]).any()
    # And drawing does not put the first fit into the guide that the second has left fitted.
    for name, value in live.items():
        np.testing.assert_array_equal(tensors_of(guide)[name].detach(), value)


def tensors_of(guide):
    module = getattr(guide, "__self__", guide)
    return dict(module.named_parameters()) if isinstance(module, torch.nn.Module) else {}


@pytest.mark.parametrize(
    "optimizer",
    [
        pyro.optim.ClippedAdam({"lr": 0.05}),
        torch.optim.AdamW([torch.zeros(1)], lr=0.05),
    ],
    ids=["pyro", "torch"],
)
def test_an_optimiser_of_the_host_makes_a_fit_stochastic(optimizer):
    fitted = px.fit(regression, X, Y, optimizer=optimizer, num_starts=1)
    assert fitted.solution is None
    np.testing.assert_allclose(fitted.guide.gaussian()[0], MEAN, atol=0.2)
