"""What ``fit`` has to do in Pyro alone; what both rooms must do is asked in tests/rooms."""

import itertools

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.autoguide import AutoDiagonalNormal, AutoGuideList, AutoNormal
from scipy import stats

import ppl_ext.pyro as px
from ppl_ext.pyro.tracing import bound_model

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
QUICK = px.Stochastic(max_steps=400, trial_steps=40)


@pytest.fixture(scope="module")
def full_rank():
    return px.fit(regression, X, Y)


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

    fitted = px.fit(model, torch.tensor(1.0), optimizer=px.Deterministic(num_draws=32))
    assert "draw by draw" in fitted.log.notes[-1]
    np.testing.assert_allclose(fitted.guide.gaussian()[0], 0.5, atol=1e-2)
    assert fitted.draws(5).log_likelihood["y"].shape == (5,)


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
        px.fit(model, torch.tensor(torch.nan), optimizer=QUICK)


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
            optimizer=QUICK,
            num_starts=2,
            seed=1,
        )


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
    fitted = px.fit(model, X, y)
    # A buffer that is filled anew must not change what was fitted.
    y[:] = torch.nan
    before = next(runs)
    draws = fitted.draws(1000, seed=0)
    assert next(runs) == before + 2  # one batch
    assert fitted.report().ok
    assert next(looks) == 1
    np.testing.assert_array_equal(draws.observed["y"], Y)


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
