"""The Gaussian guides in the host's sockets, checked against SciPy."""

import gc

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    JitTrace_ELBO,
    Predictive,
    Trace_ELBO,
    TraceMeanField_ELBO,
)
from pyro.infer.autoguide import AutoDelta, AutoGuideList
from scipy import stats

from ppl_ext.pyro.guides import AutoFullRank, AutoMeanField
from ppl_ext.pyro.tracing.density import trace_density
from tests.pyro.guide_cases import GUIDES, Y, schools, some_gaussian, train


@pytest.mark.parametrize("guide_class", GUIDES)
def test_gaussian_round_trip_in_the_order_of_the_density(guide_class):
    guide = guide_class(schools).setup(Y)
    density = trace_density(schools, Y)
    loc, scale = some_gaussian(guide_class)
    guide.set_gaussian(loc, scale)
    for found, expected in zip(guide.gaussian(), (loc, scale), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    median = guide.median()
    for name, value in density.constrain(loc[None]).items():
        np.testing.assert_allclose(median[name], value[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("guide_class", GUIDES)
def test_log_q_of_a_trace_and_of_log_prob_is_the_gaussian_density(guide_class):
    guide = guide_class(schools).setup(Y)
    loc, scale = some_gaussian(guide_class)
    guide.set_gaussian(loc, scale)
    trace = poutine.trace(guide).get_trace(Y)
    values = {name: trace.nodes[name]["value"].detach() for name in guide.median()}
    density = trace_density(schools, Y)
    # Invert the bijections with torch alone to find the point, then ask SciPy.
    parts, jacobian = [], 0.0
    for site in density.sites:
        fn = guide.prototype_trace.nodes[site.name]["fn"]
        bijection = torch.distributions.biject_to(fn.support)
        u = bijection.inv(values[site.name])
        parts.append(u.reshape(-1))
        if site.name in ("tau", "weights"):
            jacobian += float(bijection.log_abs_det_jacobian(u, values[site.name]).sum())
    z = torch.cat(parts).numpy()
    covariance = np.diag(scale**2) if scale.ndim == 1 else scale @ scale.T
    expected = stats.multivariate_normal(loc, covariance).logpdf(z) - jacobian
    # The bijection onto the simplex loses digits in float32.
    np.testing.assert_allclose(trace.log_prob_sum().item(), expected, atol=0.02)
    np.testing.assert_allclose(guide.log_prob(values), expected, atol=0.02)


@pytest.mark.parametrize("guide_class", GUIDES)
def test_quantiles_and_draws_agree_with_scipy(guide_class):
    guide = guide_class(schools).setup(Y)
    loc, scale = some_gaussian(guide_class)
    guide.set_gaussian(loc, scale)
    sd = scale if scale.ndim == 1 else np.sqrt((scale**2).sum(-1))
    quantiles = guide.quantiles([0.1, 0.9])
    np.testing.assert_allclose(
        quantiles["mu"], stats.norm(loc[0], sd[0]).ppf([0.1, 0.9]), rtol=1e-4
    )
    np.testing.assert_allclose(
        quantiles["tau"], np.exp(stats.norm(loc[1], sd[1]).ppf([0.1, 0.9])), rtol=1e-4
    )
    draws = guide.sample_posterior(sample_shape=(4000,))
    assert draws["weights"].shape == (4000, 3, 4)
    for k in range(3):
        draw = draws["theta"][:, k].numpy()
        # One in ten thousand such tests fails by chance.
        assert stats.kstest(draw, stats.norm(loc[2 + k], sd[2 + k]).cdf).pvalue > 1e-4
    assert guide.log_prob(draws).shape == (4000,)


@pytest.mark.parametrize("guide_class", GUIDES)
@pytest.mark.parametrize(
    "elbo",
    [
        Trace_ELBO(),
        Trace_ELBO(num_particles=3, vectorize_particles=True),
        TraceMeanField_ELBO(),
        JitTrace_ELBO(ignore_jit_warnings=True),
    ],
    ids=["trace", "vectorised", "mean_field", "jit"],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.:DeprecationWarning")
def test_every_elbo_of_the_host_steps(guide_class, elbo):
    guide = guide_class(schools)
    losses = train(schools, guide, Y, steps=60, lr=0.1, elbo=elbo)
    assert np.isfinite(losses).all()
    assert np.mean(losses[-20:]) < np.mean(losses[:5])


@pytest.mark.parametrize("guide_class", GUIDES)
def test_predictive(guide_class):
    guide = guide_class(schools).setup(Y)
    for parallel in (True, False):
        predictive = Predictive(schools, guide=guide, num_samples=5, parallel=parallel)
        assert predictive()["y"].shape == (5, 3)


def test_conjugate_posterior_through_the_hosts_svi():
    """x ~ N(0, 1), y_i ~ N(x, 1): the posterior is N(sum y / (n + 1), 1 / (n + 1))."""

    def model(y):
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 3):
            pyro.sample("y", dist.Normal(x, 1.0), obs=y)

    guide = AutoMeanField(model)
    train(model, guide, Y, steps=600, elbo=TraceMeanField_ELBO(10, vectorize_particles=True))
    loc, scale = guide.gaussian()
    np.testing.assert_allclose(loc, [1.5], atol=0.05)
    np.testing.assert_allclose(scale, [0.5], rtol=0.1)


def test_parts_of_a_guide_list():
    guide = AutoGuideList(schools)
    guide.append(AutoFullRank(poutine.block(schools, expose=["mu", "tau"])))
    guide.append(AutoMeanField(poutine.block(schools, expose=["theta"])))
    guide.append(AutoDelta(poutine.block(schools, expose=["weights"])))
    assert np.isfinite(train(schools, guide, Y, steps=3)).all()
    assert set(guide.median()) == {"mu", "tau", "theta", "weights"}


@pytest.mark.parametrize("guide_class", GUIDES)
def test_sites_with_dots_sequential_plates_and_improper_priors(guide_class):
    def model():
        pyro.sample("net.weight", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("free", dist.ImproperUniform(dist.constraints.positive, (), ()))
        for k in pyro.plate("k", 2):
            pyro.sample(f"x_{k}", dist.Normal(0.0, 1.0))

    guide = guide_class(model)
    assert np.isfinite(train(model, guide, steps=3)).all()
    assert list(guide.median()) == ["net.weight", "free", "x_0", "x_1"]
    assert [site.name for site in trace_density(model).sites] == list(guide.median())


@pytest.mark.parametrize("guide_class", GUIDES)
def test_bad_models_and_arguments(guide_class):
    with pytest.raises(ValueError, match="'kind' is discrete"):
        guide_class(lambda: pyro.sample("kind", dist.Categorical(torch.ones(2)))).setup()
    with pytest.raises(ValueError, match="no latent site"):
        guide_class(lambda: None).setup()
    with pytest.raises(ValueError, match="init_scale"):
        guide_class(schools, init_scale=0.0)
    guide = guide_class(schools).setup(Y)
    with pytest.raises(ValueError, match="set_gaussian"):
        guide.set_gaussian(*some_gaussian(guide_class, dim=2))


def moving():
    top = pyro.sample("top", dist.LogNormal(0.0, 1.0))
    pyro.sample("x", dist.Uniform(0.0, top))


@pytest.mark.parametrize("guide_class", GUIDES)
def test_a_support_that_depends_on_another_site(guide_class):
    guide = guide_class(moving).setup()
    guide.set_gaussian([1.0, 0.5], [0.5, 0.5] if guide_class is AutoMeanField else 0.5 * np.eye(2))
    s = 1 / (1 + np.exp(-0.5))
    np.testing.assert_allclose(guide.median()["x"], np.e * s, rtol=1e-5)
    draws = guide.sample_posterior(sample_shape=(3,))
    assert draws["x"].shape == (3,)
    assert (draws["x"] < draws["top"]).all()
    for _ in range(3):
        trace = poutine.trace(guide).get_trace()
        top, x = (trace.nodes[name]["value"].item() for name in ("top", "x"))
        u = np.log(x / (top - x))
        expected = stats.norm(1.0, 0.5).logpdf(np.log(top)) - np.log(top)
        expected += stats.norm(0.5, 0.5).logpdf(u) - np.log(x * (top - x) / top)
        np.testing.assert_allclose(trace.log_prob_sum().item(), expected, rtol=1e-4, atol=1e-4)
    losses = train(moving, guide, steps=3)
    assert np.isfinite(losses).all()
    with pytest.raises(ValueError, match="'x'"):
        guide.log_prob(draws)


def test_fixed_bounds_given_as_tensors_do_not_move():
    def model():
        pyro.sample("x", dist.Uniform(torch.zeros(2), torch.tensor(3.0)).to_event(1))

    guide = AutoMeanField(model).setup()
    assert not guide._moving


def test_quantiles_of_a_decreasing_bijection():
    def model():
        support = dist.constraints.less_than(2.0)
        pyro.sample("x", dist.ImproperUniform(support, (), ()))

    guide = AutoMeanField(model).setup()
    guide.set_gaussian([0.0], [1.0])
    # x = 2 - exp(z)
    expected = 2 - np.exp(stats.norm.ppf([0.9, 0.1]))
    np.testing.assert_allclose(guide.quantiles([0.1, 0.9])["x"], expected, rtol=1e-4)


def test_float64_guides():
    def model():
        pyro.sample("x", dist.Normal(torch.zeros(2, dtype=torch.float64), 1.0).to_event(1))

    for guide_class in GUIDES:
        guide = guide_class(model).setup()
        assert guide()["x"].dtype == torch.float64


def test_dropped_guides_are_freed():
    guide = AutoMeanField(schools).setup(Y)
    parameter = next(guide.parameters())
    del guide
    gc.collect()
    assert len(gc.get_referrers(parameter)) <= 1
