"""The log density of a NumPyro model against SciPy, and what it refuses."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from numpyro import handlers
from numpyro.contrib.control_flow import scan

from ppl_ext.numpyro import trace_density
from tests.numpyro.models import calls

RNG = np.random.default_rng(0)
EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools(size, error, effect=None):
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("school", size):
        eta = numpyro.sample("eta", dist.Normal(0, 1))
        theta = numpyro.deterministic("theta", mu + tau * eta)
        numpyro.sample("effect", dist.Normal(theta, error), obs=effect)


def schools_log_p(z, effect=EFFECT):
    mu, log_tau, eta = z[:, 0], z[:, 1], z[:, 2:]
    tau = np.exp(log_tau)
    return (
        scipy.stats.norm(0, 5).logpdf(mu)
        + scipy.stats.halfcauchy(0, 5).logpdf(tau)
        + log_tau
        + scipy.stats.norm.logpdf(eta).sum(1)
        + scipy.stats.norm.logpdf(effect, mu[:, None] + tau[:, None] * eta, ERROR).sum(1)
    )


def numeric_gradient(log_p, z, step=1e-5):
    steps = step * np.eye(z.shape[1])
    return np.stack([(log_p(z + e) - log_p(z - e)) / (2 * step) for e in steps], axis=1)


@pytest.fixture(scope="module")
def density64():
    with jax.enable_x64(True):
        return trace_density(schools, 8, ERROR, effect=EFFECT)


def test_sites_follow_the_model(density64):
    assert density64.dim == 10
    sites = [(s.name, s.shape, s.start, s.stop, s.dims) for s in density64.sites]
    assert sites == [
        ("mu", (), 0, 1, ()),
        ("tau", (), 1, 2, ()),
        ("eta", (8,), 2, 10, ("school",)),
    ]


@pytest.mark.parametrize("draws", [1, 3, 40, 600])
def test_log_density_is_scipys(density64, draws):
    z = RNG.normal(size=(draws, 10))
    log_p, gradient = density64.log_density(z)
    assert log_p.dtype == gradient.dtype == np.float64
    np.testing.assert_allclose(log_p, schools_log_p(z), rtol=1e-12)
    np.testing.assert_allclose(density64.log_p(z), log_p, rtol=1e-14)
    np.testing.assert_allclose(gradient, numeric_gradient(schools_log_p, z), rtol=1e-6, atol=1e-7)


def test_float64_lives_in_the_density_alone(density64):
    assert density64.dtype == np.float64
    density64.log_p(np.zeros((1, 10)))
    assert jnp.ones(1).dtype == jnp.float32


def test_float64_survives_a_float32_past_of_the_data():
    # JAX 0.10 hands out the float32 buffer that it once made of a NumPy array.
    effect = EFFECT + 0.1
    jax.lax.scan(lambda carry, _: (carry + effect, None), jnp.zeros(8), None, length=2)
    with jax.enable_x64(True):
        density = trace_density(schools, 8, ERROR, effect=effect)
    z = np.zeros((1, 10))
    np.testing.assert_allclose(density.log_p(z), schools_log_p(z, effect), rtol=1e-13)


def test_constrain_gives_latents_and_deterministics(density64):
    z = RNG.normal(size=(20, 10))
    values = density64.constrain(z)
    assert list(values) == ["mu", "tau", "eta", "theta"]
    np.testing.assert_allclose(values["tau"], np.exp(z[:, 1]))
    theta = z[:, :1] + np.exp(z[:, 1:2]) * z[:, 2:]
    np.testing.assert_allclose(values["theta"], theta)


def test_no_draws_give_no_values(density64):
    log_p, gradient = density64.log_density(np.zeros((0, 10)))
    assert log_p.shape == (0,)
    assert gradient.shape == (0, 10)


def test_wrong_width_is_refused(density64):
    with pytest.raises(ValueError, match=r"expected \(draw, 10\)"):
        density64.log_p(np.zeros(10))


def test_non_finite_values_are_returned_and_explained(density64):
    z = np.zeros((1, 10))
    z[0, 1] = 800.0
    log_p, _ = density64.log_density(z)
    assert not np.isfinite(log_p[0])
    assert "'tau'" in density64.explain(z[0])
    assert density64.explain(np.zeros(10)) == ""


def test_new_data_of_the_same_shapes_traces_nothing():
    counter = itertools.count()

    def model(x, y, degree):
        next(counter)
        b = numpyro.sample("b", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(b * x**degree, 1.0), obs=y)

    x, y = np.arange(3.0), np.ones(3)
    counting = handlers.block(model, hide=[])
    trace_density(counting, x, y, 2).log_density(np.zeros((1, 1)))
    before = calls(counter)
    log_p, _ = trace_density(counting, x, y + 1, 2).log_density(np.zeros((1, 1)))
    assert calls(counter) == before
    expected = scipy.stats.norm.logpdf(0) + scipy.stats.norm.logpdf(y + 1).sum()
    assert log_p[0] == pytest.approx(expected, rel=1e-6)
    log_p, _ = trace_density(counting, x, y, 3).log_density(np.ones((1, 1)))
    expected = scipy.stats.norm.logpdf(1) + scipy.stats.norm.logpdf(y, x**3).sum()
    assert log_p[0] == pytest.approx(expected, rel=1e-6)
    assert calls(counter) > before


def test_closures_and_partials_share_programs_but_not_data():
    counter = itertools.count()

    def make(y):
        def model(scale):
            next(counter)
            b = numpyro.sample("b", dist.Normal(0, 1))
            numpyro.sample("y", dist.Normal(b, scale), obs=y)

        return model

    def log_p(y):
        return trace_density(functools.partial(make(y), scale=2.0)).log_p(np.zeros((1, 1)))[0]

    assert log_p(np.ones(2)) != log_p(np.zeros(2))
    before = calls(counter)
    log_p(np.ones(2))
    assert calls(counter) == before


def test_what_an_object_holds_belongs_to_its_model():
    class Study:
        def __init__(self, y):
            self.y = y
            self.counter = itertools.count()

        def model(self):
            next(self.counter)
            b = numpyro.sample("b", dist.Normal(0, 1))
            numpyro.sample("y", dist.Normal(b, 1.0), obs=self.y)

    study = Study(np.zeros(3))
    log_p = [trace_density(study.model).log_p(np.zeros((1, 1)))[0]]
    before = calls(study.counter)
    assert trace_density(study.model).log_p(np.zeros((1, 1)))[0] == log_p[0]
    assert calls(study.counter) == before
    study.y = study.y + 1.0
    log_p.append(trace_density(study.model).log_p(np.zeros((1, 1)))[0])
    assert log_p[0] - log_p[1] == pytest.approx(1.5, rel=1e-5)


def test_a_model_may_ask_for_values():
    def model(group, y):
        with numpyro.plate("group", len(np.unique(group))):
            a = numpyro.sample("a", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(a[group], 1.0), obs=y)

    group, y = np.array([0, 1, 1, 2]), np.array([1.0, 2.0, 3.0, 4.0])
    density = trace_density(model, group, y)
    assert density.dim == 3
    z = np.array([[0.1, 0.2, 0.3]])
    expected = scipy.stats.norm.logpdf(z).sum() + scipy.stats.norm.logpdf(y, z[0, group]).sum()
    assert density.log_p(z)[0] == pytest.approx(expected, rel=1e-6)


def test_supports_log_jacobians_and_dynamic_bounds():
    def model():
        numpyro.sample("simplex", dist.Dirichlet(jnp.array([1.0, 2.0, 3.0])))
        low = numpyro.sample("low", dist.Gamma(2.0, 1.0))
        numpyro.sample("above", dist.Uniform(low, low + 2.0))
        numpyro.sample("corr", dist.LKJCholesky(3, 1.0))

    with jax.enable_x64(True):
        density = trace_density(model)
        z = RNG.normal(size=(4, density.dim))
        values = density.constrain(z)
        log_p = density.log_p(z)
    assert [s.size for s in density.sites] == [2, 1, 1, 3]
    assert ((values["above"] > values["low"]) & (values["above"] < values["low"] + 2)).all()
    alone = trace_density(lambda: numpyro.sample("corr", dist.LKJCholesky(3, 1.0)))
    rest = log_p - alone.log_p(z[:, 4:])
    sigmoid = scipy.special.expit(z[:, 3])
    # Change of variables by finite differences, the simplex through its first two entries.
    with jax.enable_x64(True):
        step = 1e-6
        plus = [density.constrain(z + step * np.eye(7)[i])["simplex"][:, :2] for i in range(2)]
        minus = [density.constrain(z - step * np.eye(7)[i])["simplex"][:, :2] for i in range(2)]
    jacobian = np.stack([(p - m) / (2 * step) for p, m in zip(plus, minus, strict=True)], axis=-1)
    expected = (
        np.array([scipy.stats.dirichlet([1, 2, 3]).logpdf(x) for x in values["simplex"]])
        + np.log(np.abs(np.linalg.det(jacobian)))
        + scipy.stats.gamma(2).logpdf(values["low"])
        + z[:, 2]
        + np.log(sigmoid * (1 - sigmoid))
    )
    np.testing.assert_allclose(rest, expected, rtol=1e-5)


def test_masks_and_scales_leave_the_change_of_variables_alone():
    # numpyro.infer.util.potential_energy scales and masks the log-Jacobian too.
    def model():
        with handlers.scale(scale=0.5):
            numpyro.sample("a", dist.HalfNormal(1.0))
        with numpyro.plate("n", 2), handlers.mask(mask=jnp.array([True, False])):
            numpyro.sample("b", dist.HalfNormal(1.0))
        numpyro.factor("bonus", 3.0)

    z = np.array([[0.3, -0.2, 0.4]])
    half_normal = scipy.stats.halfnorm.logpdf
    expected = 0.5 * half_normal(np.exp(0.3)) + half_normal(np.exp(-0.2)) + z.sum() + 3.0
    assert trace_density(model).log_p(z)[0] == pytest.approx(expected, rel=1e-6)


def test_improper_priors_and_scan():
    def model(y):
        start = numpyro.sample(
            "start", dist.ImproperUniform(dist.constraints.real, (), event_shape=())
        )

        def step(x, y_t):
            x = numpyro.sample("x", dist.LogNormal(jnp.log(jnp.abs(x)), 0.5))
            numpyro.sample("y", dist.Normal(x, 1.0), obs=y_t)
            return x, None

        scan(step, start, y)

    y = np.array([1.0, 2.0, 0.5])
    z = np.array([[1.5, 0.1, 0.2, -0.3]])
    density = trace_density(model, y)
    x = np.exp(z[0, 1:])
    before = np.array([1.5, x[0], x[1]])
    expected = (
        scipy.stats.norm.logpdf(np.log(x), np.log(before), 0.5).sum()
        + scipy.stats.norm.logpdf(y, x).sum()
    )
    assert density.log_p(z)[0] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(density.constrain(z)["x"][0], x, rtol=1e-6)


def test_plate_names_become_dims():
    def model():
        with numpyro.plate("item", 3), numpyro.plate("user", 2):
            numpyro.sample("u", dist.Normal(jnp.zeros(4), 1).to_event(1))
        with numpyro.plate("batch", 2, dim=-2):
            numpyro.sample("v", dist.Normal(jnp.zeros(5), 1))

    sites = {site.name: (site.shape, site.dims) for site in trace_density(model).sites}
    assert sites == {"u": ((2, 3, 4), ("user", "item")), "v": ((2, 5), ("batch",))}


def no_latents(y):
    numpyro.sample("y", dist.Normal(0, 1), obs=y)


def discrete():
    numpyro.sample("z", dist.Categorical(logits=jnp.zeros(3)))


def subsampled(y):
    b = numpyro.sample("b", dist.Normal(0, 1))
    with numpyro.plate("rows", 4, subsample_size=2) as i:
        numpyro.sample("y", dist.Normal(b, 1), obs=y[i])


def with_parameter():
    numpyro.sample("b", dist.Normal(numpyro.param("m", 0.0), 1))


def plain(y):
    b = numpyro.sample("b", dist.Normal(0, 1))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(b, 1), obs=y)


class Knobbly(dist.constraints.Constraint):
    is_discrete = False

    def __call__(self, x):
        return x == x

    def tree_flatten(self):
        return (), ((), {})


class Odd(dist.Normal):
    support = Knobbly()


def unknown_support():
    numpyro.sample("odd", Odd(0.0, 1.0))


@pytest.mark.parametrize(
    ("model", "args", "words"),
    [
        (no_latents, (np.ones(2),), "no latent sites"),
        (discrete, (), "site 'z' is discrete .*Categorical.*MixtureSameFamily"),
        (subsampled, (np.ones(4),), "plate 'rows' draws 2 of its 4 rows.*subsample_size"),
        (with_parameter, (), "'m' is a param.*handlers.substitute"),
        (unknown_support, (), "site 'odd'.*no bijection.*biject_to.register"),
        (plain, (np.ones(0),), "plate 'rows' is empty"),
        (plain, (np.array([1.0, np.nan, 2.0]),), r"'y' has 1 values.*nan\) at index \(1,\).*mask"),
        (plain, (np.array([1.0, np.inf]),), r"'y' has 1 values.*inf\)"),
        (no_latents, (np.ones(0),), "no latent sites"),
    ],
)
def test_refusals_name_the_site_and_the_way_out(model, args, words):
    with pytest.raises(ValueError, match=f"(?s)trace_density: .*{words}"):
        trace_density(model, *args)


def test_integer_data_are_scored_or_refused_by_name():
    log_p = trace_density(plain, np.array([1, 2, 3])).log_p(np.zeros((1, 1)))
    expected = scipy.stats.norm.logpdf([0, 1, 2, 3]).sum()
    assert log_p[0] == pytest.approx(expected, rel=1e-6)


def test_refused_data_do_not_spoil_the_model():
    with pytest.raises(ValueError, match="not finite"):
        trace_density(plain, np.array([np.nan, 1.0]))
    assert trace_density(plain, np.array([0.0, 1.0])).dim == 1
