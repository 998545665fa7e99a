"""The density of a Pyro model, checked against SciPy."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer.reparam import LocScaleReparam
from scipy import stats

from ppl_ext.pyro.tracing.density import trace_density

Z = np.random.default_rng(0).normal(size=(7, 3))


def scale_model(y=None):
    scale = pyro.sample("scale", dist.HalfCauchy(2.0))
    with pyro.plate("row", 2):
        x = pyro.sample("x", dist.Normal(0.0, scale))
        pyro.deterministic("twice", 2 * x)
        pyro.sample("y", dist.Normal(x, 1.0), obs=y)


def scale_log_p(z, y):
    scale = np.exp(z[:, 0])
    log_p = stats.halfcauchy(scale=2).logpdf(scale) + z[:, 0]
    log_p += stats.norm(0, scale[:, None]).logpdf(z[:, 1:]).sum(-1)
    return log_p + stats.norm(z[:, 1:], 1).logpdf(y).sum(-1)


def test_log_p_is_the_joint_density_with_its_jacobian():
    y = np.array([0.5, -1.0])
    density = trace_density(scale_model, torch.tensor(y, dtype=torch.float32))
    log_p, gradient = density.log_density(Z)
    np.testing.assert_allclose(log_p, scale_log_p(Z, y), rtol=2e-6)
    np.testing.assert_allclose(density.log_p(Z), log_p, rtol=1e-6)
    step = 1e-6 * np.eye(3)
    slopes = [(scale_log_p(Z + e, y) - scale_log_p(Z - e, y)) / 2e-6 for e in step]
    np.testing.assert_allclose(gradient, np.stack(slopes, -1), rtol=1e-4, atol=1e-5)
    assert density.batched
    assert log_p.dtype == gradient.dtype == np.float64


def test_sites_are_named_in_model_order_with_their_plates():
    density = trace_density(scale_model, torch.zeros(2))
    assert [site.name for site in density.sites] == ["scale", "x"]
    assert [site.dims for site in density.sites] == [(), ("row",)]
    assert [(site.start, site.stop) for site in density.sites] == [(0, 1), (1, 3)]
    values = density.constrain(Z)
    np.testing.assert_allclose(values["scale"], np.exp(Z[:, 0]), rtol=1e-6)
    np.testing.assert_allclose(values["twice"], 2 * Z[:, 1:], rtol=1e-6)
    assert "y" not in values


def test_a_distribution_without_support_may_be_observed():
    class Silent(dist.TorchDistribution):
        arg_constraints = {}  # noqa: RUF012

        def log_prob(self, value):
            return -(value**2)

    def model(y):
        pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", Silent(), obs=y)

    log_p = trace_density(model, torch.tensor(2.0)).log_p(np.zeros((1, 1)))
    np.testing.assert_allclose(log_p, stats.norm.logpdf(0.0) - 4.0, rtol=1e-6)


def test_one_draw_and_many_agree():
    density = trace_density(scale_model, torch.zeros(2))
    z = np.random.default_rng(1).normal(size=(2500, 3))  # more than one chunk
    log_p, gradient = density.log_density(z)
    for k in (0, 1200, 2499):
        one, slope = density.log_density(z[k][None])
        np.testing.assert_allclose(one[0], log_p[k], rtol=1e-6)
        np.testing.assert_allclose(slope[0], gradient[k], rtol=1e-5, atol=1e-6)


def test_float64_models_run_in_float64():
    def model():
        pyro.sample("x", dist.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0))

    density = trace_density(model)
    assert density.dtype == np.float64
    np.testing.assert_allclose(
        density.log_p(np.array([[0.3]])), stats.norm.logpdf([0.3]), rtol=1e-15
    )


def branching(y):
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Normal(x if x > 0 else 2 * x, 1.0), obs=y)


def test_a_model_that_cannot_be_vectorised_is_looped():
    density = trace_density(branching, torch.tensor(1.0))
    z = np.array([[0.5], [-0.5]])
    loc = np.array([0.5, -1.0])
    expected = stats.norm.logpdf(z[:, 0]) + stats.norm(loc, 1).logpdf(1.0)
    assert not density.batched
    log_p, gradient = density.log_density(z)
    np.testing.assert_allclose(log_p, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[:, 0], [0.0, 0.5 + 2 * 2.0], rtol=1e-5)
    np.testing.assert_allclose(density.log_p(z), expected, rtol=1e-6)


def test_a_model_may_make_its_own_numbers_as_long_as_they_are_the_same():
    def model():
        generator = torch.Generator().manual_seed(0)
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(x, 1.0), obs=torch.randn((), generator=generator))

    density = trace_density(model)
    y = float(torch.randn((), generator=torch.Generator().manual_seed(0)))
    z = Z[:, :1]
    expected = stats.norm.logpdf(z[:, 0]) + stats.norm(z[:, 0], 1).logpdf(y)
    assert density.batched
    np.testing.assert_allclose(density.log_p(z), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("prior", "size"),
    [
        (dist.Dirichlet(torch.ones(3)), 2),
        (dist.LKJCholesky(3, 1.0), 3),
        (dist.Uniform(-1.0, 2.0), 1),
        (dist.Beta(2.0, 3.0), 1),
        (dist.MultivariateNormal(torch.zeros(2), torch.eye(2)), 2),
        (dist.Normal(0.0, 1.0).expand([2, 2]).to_event(2), 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_supports(prior, size):
    def model():
        pyro.sample("x", prior)

    density = trace_density(model)
    z = np.random.default_rng(2).normal(size=(3, size))
    bijection = torch.distributions.biject_to(prior.support)
    u = torch.tensor(z, dtype=torch.float32).view(3, *bijection.inverse_shape(prior.shape()))
    x = bijection(u)
    jacobian = bijection.log_abs_det_jacobian(u, x).reshape(3, -1).sum(-1)
    expected = prior.log_prob(x) + jacobian
    assert density.dim == size
    assert density.batched
    np.testing.assert_allclose(density.log_p(z), expected, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(density.constrain(z)["x"], x, rtol=1e-5, atol=1e-6)


def test_improper_factor_scale_mask_and_nested_plates():
    mask = torch.tensor([True, False, True])

    def model(y):
        free = pyro.sample("free", dist.ImproperUniform(dist.constraints.positive, (), ()))
        pyro.factor("tilt", -free)
        with pyro.plate("i", 3, dim=-2):
            a = pyro.sample("a", dist.Normal(0.0, 1.0))
            with (
                pyro.plate("j", 2, dim=-1),
                poutine.mask(mask=mask[:, None]),
                poutine.scale(None, 3.0),
            ):
                pyro.sample("y", dist.Normal(a, 1.0), obs=y)

    y = np.array([[0.1, 0.2], [1e3, 5.0], [0.3, 0.4]])
    density = trace_density(model, torch.tensor(y, dtype=torch.float32))
    assert density.sites[1].shape == (3, 1)
    assert density.sites[1].dims == ("i",)
    z = np.random.default_rng(3).normal(size=(2, 4))
    kept = [0, 2]
    expected = -np.exp(z[:, 0]) + z[:, 0] + stats.norm.logpdf(z[:, 1:]).sum(-1)
    likelihood = stats.norm(z[:, 1:][:, kept, None], 1).logpdf(y[kept])
    expected += 3 * likelihood.sum((-1, -2))
    np.testing.assert_allclose(density.log_p(z), expected, rtol=1e-5)
    assert density.constrain(z)["a"].shape == (2, 3, 1)


def test_reparametrised_and_conditioned_models():
    def model():
        x = pyro.sample("x", dist.Normal(1.0, 2.0))
        pyro.sample("y", dist.Normal(x, 1.0))

    reparametrised = poutine.reparam(model, config={"x": LocScaleReparam(0.0)})
    density = trace_density(poutine.condition(reparametrised, data={"y": torch.tensor(0.5)}))
    assert [site.name for site in density.sites] == ["x_decentered"]
    z = np.array([[0.3]])
    x = 1 + 2 * 0.3
    expected = stats.norm.logpdf(0.3) + stats.norm(x, 1).logpdf(0.5)
    np.testing.assert_allclose(density.log_p(z), [expected], rtol=1e-6)
    np.testing.assert_allclose(density.constrain(z)["x"], [x], rtol=1e-6)


def test_support_that_depends_on_another_site():
    def model():
        top = pyro.sample("top", dist.LogNormal(0.0, 1.0))
        pyro.sample("x", dist.Uniform(0.0, top))

    z = np.array([[0.4, -0.7], [1.0, 0.2]])
    s = 1 / (1 + np.exp(-z[:, 1]))
    # x = top * s has density 1 / top and Jacobian top s (1 - s).
    expected = stats.norm.logpdf(z[:, 0]) + np.log(s * (1 - s))
    np.testing.assert_allclose(trace_density(model).log_p(z), expected, rtol=1e-5)


def test_data_outside_of_a_support_that_moves_have_no_density():
    """torch scores them all the same: log_prob of Pareto(2, 1) at 1 is finite."""

    def model(y):
        scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
        pyro.sample("y", dist.Pareto(scale, 1.0), obs=y)

    z = np.array([[-1.0], [1.0]])
    expected = stats.norm.logpdf(z[:, 0]) + stats.pareto(1.0, scale=np.exp(z[:, 0])).logpdf(1.0)
    np.testing.assert_allclose(
        trace_density(model, torch.tensor(1.0)).log_p(z), expected, rtol=1e-5
    )


def test_failing_draws_are_nan_and_leave_the_others_alone():
    def model():
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        matrix = torch.stack([torch.stack([1 + 0 * x, x]), torch.stack([x, 1 + 0 * x])])
        pyro.factor("tilt", torch.linalg.cholesky(matrix)[1, 1].log())

    density = trace_density(model)
    z = np.array([[0.5], [3.0], [0.0], [-0.5]])  # at 3 the matrix is indefinite
    log_p, gradient = density.log_density(z)
    assert np.isnan(log_p).tolist() == [False, True, False, False]
    assert np.isnan(gradient[:, 0]).tolist() == [False, True, False, False]
    expected = stats.norm.logpdf(0.5) + 0.5 * np.log(1 - 0.25)
    np.testing.assert_allclose(log_p[[0, 3]], expected, rtol=1e-5)
    assert np.isnan(density.log_density(z[1:2])[0][0])
    assert "LinAlgError" in density.explain(z[1])


def test_explain_names_the_site():
    def model(y):
        rate = pyro.sample("rate", dist.LogNormal(0.0, 1.0))
        pyro.sample("y", dist.Exponential(rate).expand([3]).to_event(1), obs=y)
        pyro.sample("u", dist.Uniform(0.0, rate), obs=torch.tensor(2.0))

    density = trace_density(model, torch.ones(3))
    sentence = density.explain(np.zeros(1))
    assert "'u'" in sentence
    assert "outside the support" in sentence
    assert "'rate'" not in sentence
    assert trace_density(scale_model, torch.zeros(2)).explain(np.zeros(3)) == ""


def no_latent(y):
    pyro.sample("y", dist.Normal(0.0, 1.0), obs=y)


def discrete(y):
    pyro.sample("kind", dist.Categorical(torch.ones(3)))


def subsampling(y):
    pyro.sample("loc", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", 10, subsample_size=3):
        pass


def given_subsample(y):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", 10, subsample=torch.arange(3)):
        pyro.sample("y", dist.Normal(loc, 1.0), obs=torch.zeros(3))


def empty(y):
    pyro.sample("loc", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", 0):
        pass


def sphere(y):
    pyro.sample("direction", dist.VonMises3D(torch.tensor([1.0, 0.0, 0.0])))


def matrix(y):
    pyro.sample("covariance", dist.Wishart(torch.tensor(4.0), torch.eye(2)))


def learnable(y):
    pyro.sample("x", dist.Normal(pyro.param("weight", torch.tensor(0.0)), 1.0))


def noisy(y):
    pyro.sample("x", dist.Normal(torch.randn(()), 1.0))


def observed(y):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    pyro.sample("height", dist.Normal(loc, 1.0).expand([2]).to_event(1), obs=y)


def no_data(y):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    pyro.sample("height", dist.Normal(loc, 1.0), obs=y)


def waiting(y):
    pyro.sample("loc", dist.Normal(0.0, 1.0))
    pyro.sample("wait", dist.Exponential(1.0), obs=y)


def regression(y):
    slope = pyro.sample("slope", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    pyro.sample("mean", dist.Normal((y @ slope).sum(), 1.0), obs=torch.tensor(0.0))


def changing(y):
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    if x > 0:
        pyro.sample("extra", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("model", "y", "words"),
    [
        (no_latent, torch.tensor(0.0), ["no latent site", "'y'"]),
        (discrete, None, ["'kind'", "discrete", "Categorical"]),
        (subsampling, None, ["'rows'", "3 of 10", "Stochastic()"]),
        (given_subsample, None, ["'rows'", "3 of 10"]),
        (empty, None, ["'rows'", "empty"]),
        (sphere, None, ["'direction'", "ProjectedNormalReparam"]),
        (matrix, None, ["'covariance'", "PositiveDefinite"]),
        (learnable, None, ["'weight'", "learnable"]),
        (noisy, None, ["torch's generator", "pyro.sample"]),
        (observed, torch.tensor([1.0, torch.nan]), ["'height'", "NaN", "mask"]),
        (observed, torch.tensor([1.0, torch.inf]), ["'height'", "infinite"]),
        (waiting, torch.tensor([1.0, -1.0]), ["'wait'", "1 of 2", "Exponential"]),
        (no_data, torch.zeros(0), ["'height'", "(0,)"]),
        (observed, torch.tensor([1, 2]), ["'height'", "int64", ".float()"]),
        (regression, torch.ones(3, 2, dtype=torch.long), ["'y'", "integers", "y.float()"]),
        (changing, None, ["'extra'", "torch.where"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_models_are_refused_by_name(model, y, words):
    with pytest.raises(ValueError, match="trace_density: ") as error:
        trace_density(model, y)
    for word in words:
        assert word in str(error.value)
    assert "Trace Shapes" not in str(error.value)


def test_wrong_shape_of_points():
    density = trace_density(scale_model, torch.zeros(2))
    with pytest.raises(ValueError, match=r"\[draw, 3\] is expected"):
        density.log_density(np.zeros(3))


def test_global_state_is_left_as_found():
    pyro.get_param_store().clear()
    pyro.param("mine", torch.tensor(1.0))
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    density = trace_density(scale_model, torch.zeros(2))
    density.log_density(Z)
    density.constrain(Z)
    density.explain(Z[0])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert list(pyro.get_param_store().keys()) == ["mine"]
    pyro.get_param_store().clear()


@pytest.mark.parametrize("torch_default", [True, False])
def test_validation_is_left_as_found(torch_default):
    """Also where torch's switch and Pyro's disagree, and where the model raises."""
    found = torch.distributions.Distribution._validate_args
    try:
        torch.distributions.Distribution.set_default_validate_args(torch_default)
        trace_density(scale_model, torch.zeros(2)).log_p(Z)
        with pytest.raises(ValueError, match="discrete"):
            trace_density(discrete, None)
        assert torch.distributions.Distribution._validate_args is torch_default
        assert pyro.distributions.is_validation_enabled()
    finally:
        torch.distributions.Distribution.set_default_validate_args(found)
