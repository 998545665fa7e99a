"""What every guide owes by itself: one row in ``tests/rooms/guide_rows.py``, and every question.

Its place among the host's losses, lists and minibatches: ``test_guides_in_their_host.py``.
"""

import copy
import pickle
from contextlib import nullcontext
from importlib import import_module

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import log_expit

from tests.rooms.guide_rows import (
    DIM,
    LOC,
    RARE,
    ROWS,
    SITES,
    Mixed,
    Placed,
    Y,
    assert_gaussian,
    covariance_of,
    find_coordinates,
    row_of,
    rows,
    two_parts,
)

pytestmark = pytest.mark.usefixtures("fresh_parameters")


def test_every_guide_has_a_row(host):
    """A new public guide enters here, by its row; not one without coordinates for all rows."""
    public = {name for name in host.room.__all__ if name.startswith("Auto")} - {"AutoAmortized"}
    assert public == {row.name for row in ROWS if host.name in row.hosts}


def test_coordinates_are_those_of_the_density(host, mixed):
    density = host.room.trace_density(mixed.model, *mixed.args)
    assert density.dim == DIM
    assert [site.name for site in density.sites] == list(SITES)
    loc, scale = mixed.gaussian()
    np.testing.assert_allclose(loc, LOC, rtol=1e-6)
    np.testing.assert_allclose(scale, row_of(mixed).scale(DIM), rtol=1e-5, atol=1e-6)
    median = mixed.median()
    assert list(median) == list(SITES)
    for name, value in density.constrain(LOC[None]).items():
        np.testing.assert_allclose(median[name], value[0], rtol=1e-5, atol=1e-6)
    z, _ = find_coordinates({name: each[None] for name, each in median.items()})
    np.testing.assert_allclose(z[0], LOC, atol=1e-5)


def test_a_run_is_the_gaussian_pushed_forward(host, mixed):
    values, log_q = mixed.run(4000 if host.name == "numpyro" else 300)
    assert set(values) == set(SITES)
    z, jacobian = find_coordinates(values)
    loc, scale = mixed.gaussian()
    covariance = covariance_of(scale)
    assert_gaussian(z, loc, covariance)
    log_q_z = stats.multivariate_normal(loc, covariance).logpdf(z)
    np.testing.assert_allclose(log_q, log_q_z - jacobian, atol=2e-3)
    np.testing.assert_allclose(mixed.log_q(z), log_q_z, atol=2e-3)


def test_draws_agree_with_scipy(mixed):
    draws = mixed.sample(4000)
    assert {name: each.shape for name, each in draws.items()} == {
        "mu": (4000,), "tau": (4000,), "below": (4000,), "theta": (4000, 3), "share": (4000, 3, 3)
    }  # fmt: skip
    loc, scale = mixed.gaussian()
    covariance = covariance_of(scale)
    z, _ = find_coordinates(draws)
    assert_gaussian(z, loc, covariance)
    for each in range(DIM):
        normal = stats.norm(loc[each], np.sqrt(covariance[each, each]))
        assert stats.kstest(z[:, each], normal.cdf).pvalue > RARE / DIM
    shaped = mixed.sample(2, 5)
    assert shaped["share"].shape == (2, 5, 3, 3)
    assert (shaped["below"] < 1).all()
    assert mixed.sample()["tau"].shape == ()


def test_quantiles_rise_even_where_the_bijection_falls(mixed):
    levels = np.array([0.05, 0.5, 0.95])
    quantiles = mixed.quantiles(levels.tolist())
    loc, scale = mixed.gaussian()
    sd = np.sqrt(np.diag(covariance_of(scale)))
    mu, tau, below = (stats.norm(loc[each], sd[each]) for each in range(3))
    digits = row_of(mixed).digits
    np.testing.assert_allclose(quantiles["mu"], mu.ppf(levels), rtol=digits)
    np.testing.assert_allclose(quantiles["tau"], np.exp(tau.ppf(levels)), rtol=digits)
    np.testing.assert_allclose(
        quantiles["below"], 1 - np.exp(below.ppf(1 - levels)), rtol=digits, atol=1e-6
    )


def test_sites_stand_in_their_plates(host, mixed):
    """Those of NumPyro's joint guides do not, and its ``TraceEnum_ELBO`` ends in a KeyError."""
    if host.name == "pyro":
        trace = host.random(host.ppl.poutine.trace(mixed.guide).get_trace, *mixed.args).nodes
    else:
        seeded = host.ppl.handlers.seed(mixed.guide, 0)
        trace = host.ppl.handlers.trace(seeded).get_trace(*mixed.args)
    assert [frame.name for frame in trace["share"]["cond_indep_stack"]] == ["group"]
    assert tuple(trace["share"]["fn"].batch_shape) == (3,)


def quantile_below(level, loc, covariance):
    """A quantile of ``exp(a) * sigmoid(b)``, with a and b normal."""
    slope = covariance[0, 1] / covariance[1, 1]
    spread = np.sqrt(covariance[0, 0] - slope * covariance[0, 1])
    of_b = stats.norm(loc[1], np.sqrt(covariance[1, 1]))

    def below(x):
        def given(b):
            middle = loc[0] + slope * (b - loc[1])
            return of_b.pdf(b) * stats.norm.cdf(np.log(x) - log_expit(b), middle, spread)

        return quad(given, *of_b.ppf([1e-9, 1 - 1e-9]))[0]

    return brentq(lambda x: below(x) - level, 1e-6, 1e6)


@rows
def test_a_support_that_depends_on_another_site(host, row):
    ppl, dist = host.ppl, host.dist

    def moving():
        top = ppl.sample("top", dist.LogNormal(0.0, 1.0))
        ppl.sample("x", dist.Uniform(0.0, top))

    placed = Placed(host, row.name, moving)
    scale = row.scale(2)
    placed.set_gaussian([1.0, 0.5], scale)
    covariance = covariance_of(scale)
    levels = [0.05, 0.5, 0.95]
    expected = [quantile_below(level, [1.0, 0.5], covariance) for level in levels]
    np.testing.assert_allclose(placed.quantiles(levels)["x"], expected, rtol=0.01)
    np.testing.assert_allclose(placed.median()["x"], expected[1], rtol=0.01)
    draws = placed.sample(3)
    assert draws["x"].shape == (3,)
    assert (draws["x"] < draws["top"]).all()
    levels = np.array([0.05, 0.95])
    sd = np.sqrt(covariance_of(scale)[0, 0])
    top = np.exp(stats.norm(1.0, sd).ppf(levels))
    np.testing.assert_allclose(placed.quantiles(levels.tolist())["top"], top, rtol=row.digits)
    values, log_q = placed.run(4000 if host.name == "numpyro" else 100)
    top, x = values["top"], values["x"]
    z = np.stack([np.log(top), np.log(x / (top - x))], -1)
    assert_gaussian(z, [1.0, 0.5], covariance_of(scale))
    expected = stats.multivariate_normal([1.0, 0.5], covariance_of(scale)).logpdf(z)
    expected -= np.log(top) + np.log(x * (top - x) / top)
    np.testing.assert_allclose(log_q, expected, rtol=1e-4, atol=1e-3)
    assert np.isfinite(placed.train(ppl.infer.Trace_ELBO(), 3, 0.02)).all()


@rows
def test_a_support_that_moves_around_one_middle_inside_a_plate(host, row):
    ppl, dist = host.ppl, host.dist

    def moving():
        top = ppl.sample("top", dist.LogNormal(0.0, 1.0))
        with ppl.plate("row", 2):
            ppl.sample("x", dist.Uniform(-top, top))

    placed = Placed(host, row.name, moving)
    placed.set_gaussian([1.0, 0.5, -0.5], row.scale(3))
    for values in (placed.sample(50), placed.run(50)[0]):
        assert values["x"].shape == (50, 2)
        assert (np.abs(values["x"]) < values["top"].reshape(50, 1)).all()


@rows
def test_sites_with_dots_sequential_plates_and_improper_priors(host, row):
    ppl, dist = host.ppl, host.dist

    def model():
        ppl.sample("net.weight", dist.Normal(host.array(np.zeros(2)), 1.0).to_event(1))
        ppl.sample("free", dist.ImproperUniform(dist.constraints.positive, (), ()))
        for k in ppl.plate("k", 2) if host.name == "pyro" else range(2):
            ppl.sample(f"x_{k}", dist.Normal(0.0, 1.0))

    placed = Placed(host, row.name, model)
    assert np.isfinite(placed.train(ppl.infer.Trace_ELBO(), 3, 0.02)).all()
    names = ["net.weight", "free", "x_0", "x_1"]
    assert list(placed.median()) == names
    assert [site.name for site in host.room.trace_density(model).sites] == names


@rows
def test_bad_models_and_arguments(host, row):
    ppl, dist = host.ppl, host.dist

    def discrete():
        ppl.sample("kind", dist.Categorical(host.array(np.ones(2) / 2)))

    with pytest.raises(ValueError, match=f"{row.name}.*'kind' is discrete"):
        Placed(host, row.name, discrete)
    with pytest.raises(ValueError, match=f"{row.name}.*no latent site"):
        Placed(host, row.name, lambda: None)
    for bad in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"{row.name}: init_scale.*{bad}.*expected"):
            getattr(host.room, row.name)(discrete, init_scale=bad)
    placed = Placed(host, row.name, two_parts(host))
    with pytest.raises(ValueError, match=f"{row.name}.set_gaussian: loc has shape.*expected"):
        placed.set_gaussian(np.zeros(3), row.scale(3))


@rows
def test_names_of_parameters_begin_with_the_prefix(host, row):
    placed = Placed(host, row.name, two_parts(host), prefix="mine")
    if host.name == "pyro":
        host.random(placed.guide)
        names = list(host.ppl.get_param_store())
    else:
        names = list(placed.params)
    assert names
    assert all("mine" in name for name in names)


@rows
def test_copies_and_pickles(host, row):
    """They have the same parameters, draw the same sites, and are guides of their own."""
    placed = Placed(host, row.name, Mixed(host.name), Y)
    placed.set_gaussian(LOC, row.scale(DIM))
    for twin in (copy.deepcopy(placed.guide), pickle.loads(pickle.dumps(placed.guide))):
        other = copy.copy(placed)
        other.guide = twin
        for found, expected in zip(other.gaussian(), placed.gaussian(), strict=True):
            np.testing.assert_array_equal(found, expected)
        for name, value in other.median().items():
            np.testing.assert_array_equal(value, placed.median()[name])
        other.set_gaussian(LOC + 1.0, row.scale(DIM))
        np.testing.assert_allclose(placed.gaussian()[0], LOC, rtol=1e-6)
    assert set(other.run(2)[0]) == set(SITES)
    # Nor is the first one the worse for it.
    assert np.isfinite(placed.train(host.ppl.infer.Trace_ELBO(), 2, 0.02)).all()


@rows
def test_double_precision(host, row):
    double = import_module("jax").enable_x64(True) if host.name == "numpyro" else nullcontext()
    ppl, dist = host.ppl, host.dist

    def model():
        mean = host.math.zeros(2, dtype=host.math.float64)
        ppl.sample("x", dist.Normal(mean, 1.0).to_event(1))

    with double:
        placed = Placed(host, row.name, model)
        assert placed.run(1)[0]["x"].dtype == np.float64
        assert placed.sample(2)["x"].dtype == np.float64
