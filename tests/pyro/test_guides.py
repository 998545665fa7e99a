"""The Gaussian guides in the host's sockets, and the host's defects that they must not have."""

import copy
import gc
import pickle

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    SVI,
    JitTrace_ELBO,
    Predictive,
    Trace_ELBO,
    TraceMeanField_ELBO,
)
from pyro.infer.autoguide import AutoDelta, AutoGuideList, init_to_mean
from scipy import stats

from ppl_ext.pyro.autoguide import AutoFullRank, AutoMeanField
from ppl_ext.pyro.density import trace_density

GUIDES = [AutoMeanField, AutoFullRank]


@pytest.fixture(autouse=True)
def _fresh_store():
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    yield
    pyro.clear_param_store()


def schools(y=None):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", 3):
        theta = pyro.sample("theta", dist.Normal(mu, tau))
        weights = pyro.sample("weights", dist.Dirichlet(torch.ones(4)))
        pyro.sample("y", dist.Normal(theta + weights[..., 0], 1.0), obs=y)


Y = torch.tensor([1.0, 2.0, 3.0])
DIM = 1 + 1 + 3 + 9


def some_gaussian(guide_class, dim=DIM):
    rng = np.random.default_rng(0)
    loc = rng.normal(size=dim)
    if guide_class is AutoMeanField:
        return loc, rng.uniform(0.1, 2.0, size=dim)
    return loc, np.tril(rng.normal(size=(dim, dim)), -1) + np.diag(rng.uniform(0.1, 2.0, dim))


def train(model, guide, *args, steps=300, lr=0.02, elbo=None):
    svi = SVI(model, guide, pyro.optim.Adam({"lr": lr}), elbo or Trace_ELBO())
    return [svi.step(*args) for _ in range(steps)]


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


def test_defect_3_rows_given_by_the_model_are_used():
    """The host's AutoNormal draws rows of its own here and learns nothing (rmse 1.77)."""
    size, batch = 40, 10
    truth = torch.linspace(-3.0, 3.0, size)

    def model(y, rows):
        with pyro.plate("data", size, subsample=rows):
            z = pyro.sample("z", dist.Normal(0.0, 10.0))
            pyro.sample("y", dist.Normal(z, 0.1), obs=y)

    guide = AutoMeanField(model, init_scale=0.1)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), TraceMeanField_ELBO())
    for _ in range(100):
        for rows in torch.randperm(size).split(batch):
            svi.step(truth[rows], rows)
    assert guide.median()["z"].shape == (size,)
    assert (guide.median()["z"] - truth).pow(2).mean().sqrt() < 0.2
    # Also a permutation of all rows, and a last batch of another size.
    trace = poutine.trace(guide).get_trace(truth.flip(0), torch.arange(size).flip(0))
    assert (trace.nodes["z"]["value"] - truth.flip(0)).abs().mean() < 0.5
    short = torch.arange(3)
    assert poutine.trace(guide).get_trace(truth[short], short).nodes["z"]["value"].shape == (3,)


def test_rows_drawn_by_the_plate_are_shared_with_the_model():
    truth = torch.linspace(-3.0, 3.0, 40)

    def model(y):
        with pyro.plate("data", 40, subsample_size=10) as rows:
            z = pyro.sample("z", dist.Normal(0.0, 10.0))
            pyro.sample("y", dist.Normal(z, 0.1), obs=y[rows])

    guide = AutoMeanField(model)
    train(model, guide, truth, steps=400, lr=0.1, elbo=TraceMeanField_ELBO())
    assert (guide.median()["z"] - truth).pow(2).mean().sqrt() < 0.2


def test_given_rows_within_a_guide_list_are_refused_or_taken_from_create_plates():
    def model(rows):
        pyro.sample("a", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 4, subsample=rows):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    rows = torch.tensor([1, 3])
    guide = AutoGuideList(model)
    guide.append(AutoMeanField(model))
    with pytest.raises(ValueError, match="create_plates"):
        guide(rows)

    def create_plates(rows):
        return pyro.plate("data", 4, subsample=rows, dim=-1)

    guide = AutoGuideList(model, create_plates=create_plates)
    guide.append(AutoMeanField(model))
    part = guide[0]
    guide(rows)
    part.set_gaussian(np.array([0.0, 10.0, 20.0, 30.0, 40.0]), 1e-4 * np.ones(5))
    np.testing.assert_allclose(guide(rows)["z"].detach(), [20.0, 40.0], atol=0.01)


@pytest.mark.parametrize("given", [True, False])
def test_defect_4_a_joint_guide_refuses_local_sites_in_a_minibatch(given):
    def model():
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        rows = {"subsample": torch.arange(3)} if given else {"subsample_size": 3}
        with pyro.plate("rows", 10, **rows):
            pyro.sample("local", dist.Normal(loc, 1.0))

    with pytest.raises(ValueError, match=r"'local' is local to plate 'rows'.*3 of 10"):
        AutoFullRank(model).setup()


@pytest.mark.parametrize("guide_class", GUIDES)
def test_a_joint_guide_takes_global_sites_beside_a_minibatch(guide_class):
    def model(y):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 6, subsample_size=3) as rows:
            pyro.sample("y", dist.Normal(loc, 1.0), obs=y[rows])

    losses = train(model, guide_class(model), torch.ones(6), steps=5)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("guide_class", GUIDES)
def test_defect_5_two_guides_do_not_share_parameters(guide_class):
    def model(y):
        x = pyro.sample("x", dist.Normal(0.0, 10.0))
        pyro.sample("y", dist.Normal(x, 0.1), obs=y)

    first, second = guide_class(model), guide_class(model)
    train(model, first, torch.tensor(7.0), steps=200, lr=0.2)
    before = first.gaussian()[0]
    twin = copy.deepcopy(first)
    train(model, second, torch.tensor(-7.0), steps=200, lr=0.2)
    train(model, twin, torch.tensor(3.0), steps=200, lr=0.2)
    first(torch.tensor(0.0))  # reads the parameter store
    assert first.gaussian()[0] == before
    assert abs(before[0] - 7) < 0.5
    assert abs(second.gaussian()[0][0] + 7) < 0.5
    assert abs(twin.gaussian()[0][0] - 3) < 0.5
    assert not pyro.settings.get("module_local_params")


@pytest.mark.parametrize("guide_class", GUIDES)
def test_module_local_parameters_work_too(guide_class):
    with pyro.settings.context(module_local_params=True):
        losses = train(schools, guide_class(schools), Y, steps=5)
    assert np.isfinite(losses).all()
    assert not len(pyro.get_param_store())


def test_defect_11_analytic_divergence_on_real_supports():
    """Normal prior, Normal guide: the loss has no noise at all. The host's AutoNormal: sd 1.08."""

    def model():
        pyro.sample("x", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        with pyro.plate("p", 2):
            pyro.sample("z", dist.Normal(1.0, 2.0))

    guide = AutoMeanField(model)
    losses = [TraceMeanField_ELBO().loss(model, guide) for _ in range(5)]
    assert np.std(losses) == 0
    loc, scale = guide.gaussian()
    mean, sd = np.array([0, 0, 0, 1, 1]), np.array([1, 1, 1, 2, 2])
    divergence = np.log(sd / scale) + (scale**2 + (loc - mean) ** 2) / (2 * sd**2) - 0.5
    np.testing.assert_allclose(losses[0], divergence.sum(), rtol=1e-5)


@pytest.mark.parametrize("guide_class", GUIDES)
def test_defect_12_an_infinite_mean_is_no_start(guide_class):
    guide = guide_class(schools, init_loc_fn=init_to_mean).setup(Y)
    assert np.isfinite(guide.gaussian()[0]).all()
    assert np.isfinite(train(schools, guide, Y, steps=3)).all()


@pytest.mark.parametrize("guide_class", GUIDES)
def test_defect_13_pickling_leaves_the_live_guide_alone(guide_class):
    guide = guide_class(schools).setup(Y)
    guide(Y)
    twin = pickle.loads(pickle.dumps(guide))
    assert callable(guide.model)
    assert np.isfinite(train(schools, guide, Y, steps=2)).all()
    torch.manual_seed(1)
    twin.set_gaussian(*guide.gaussian())
    np.testing.assert_allclose(twin.median()["theta"], guide.median()["theta"])
    assert set(twin()) == {"mu", "tau", "theta", "weights"}


@pytest.mark.parametrize("guide_class", GUIDES)
def test_defect_14_a_state_dict_loads_into_a_fresh_guide(guide_class):
    trained = guide_class(schools).setup(Y)
    trained.set_gaussian(*some_gaussian(guide_class))
    fresh = guide_class(schools)
    fresh.load_state_dict(trained.state_dict())
    fresh(Y)  # the first call must not start the parameters anew
    for one, other in zip(fresh.gaussian(), trained.gaussian(), strict=True):
        np.testing.assert_array_equal(one, other)

    def other(y):
        pyro.sample("mu", dist.Normal(0.0, 1.0))

    stranger = guide_class(other)
    stranger.load_state_dict(trained.state_dict())
    with pytest.raises(ValueError, match="loaded state"):
        stranger(Y)


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
