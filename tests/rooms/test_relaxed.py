"""Relaxed and straight-through categoricals against closed forms, quadrature and enumeration."""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import gammaln, log_softmax

from tests.oracles.discrete import LOGITS, MASKED
from tests.oracles.discrete_laws import concrete_entropy
from tests.rooms.drawing import RARE, build, draw, kl_divergence

LOGISTIC = {"LogitRelaxedBernoulli", "RelaxedBernoulli"}
RELAXED = ["ExpRelaxedOneHotCategorical", "RelaxedOneHotCategorical"]
SIMPLEX = ["RelaxedOneHotCategorical", "RelaxedOneHotCategoricalStraightThrough"]


def test_value_off_the_support(host):
    relaxed = build(host, "ExpRelaxedOneHotCategorical", temperature=0.5, logits=LOGITS)
    value = host.array([0.0, 0.0, 0.0, 0.0])
    if host.name == "pyro":
        with pytest.raises(ValueError, match="support"):
            relaxed.log_prob(value)
    else:
        with pytest.warns(UserWarning, match="Out-of-support"):
            assert relaxed.log_prob(value) == -np.inf


@pytest.mark.parametrize("name", [*RELAXED, "LogitRelaxedBernoulli"])
def test_own_draws_have_a_finite_density(host, name):
    temperatures = np.array([0.01, 0.05, 0.3, 1.0, 20.0])
    for scale, classes in ((1.0, 10), (100.0, 300)):
        logits = scale * np.random.default_rng(0).normal(size=classes)
        if name not in LOGISTIC:
            logits = np.broadcast_to(logits, (5, classes)).copy()
        else:
            temperatures = temperatures[:, None]
        distribution = build(host, name, temperature=temperatures, logits=logits)
        value, log_prob = draw(host, distribution, (300,))
        assert np.isfinite(np.asarray(log_prob)).all()
        if name == "RelaxedOneHotCategorical":
            assert np.abs(np.asarray(value).astype(float).sum(-1) - 1).max() < 5e-7
        temperatures = temperatures.ravel()


def test_ways_at_low_temperatures(host):
    """Ten classes at 0.05: a value by itself has a limit, a draw with its scores a density."""
    logits = 3.0 * np.random.default_rng(0).normal(size=10)
    arguments = {"temperature": 0.05, "logits": logits}
    relaxed = build(host, "RelaxedOneHotCategorical", **arguments)
    value, log_prob = draw(host, relaxed, (1000,))
    logs = draw(host, build(host, "ExpRelaxedOneHotCategorical", **arguments), (1000,))
    y, on_log_simplex = (np.asarray(each, dtype=float) for each in logs)
    # The same noise, whose rounding is divided by the temperature.
    np.testing.assert_allclose(value, np.exp(y), atol=1e-5)
    np.testing.assert_allclose(log_prob, on_log_simplex - y.sum(-1), rtol=1e-5)
    underflowed = (np.asarray(value) == 0).any(-1)
    assert underflowed.mean() > 0.9
    by_itself = np.asarray(relaxed.log_prob(1.0 * value))
    assert np.isinf(by_itself[underflowed]).all()


def test_temperatures_broadcast_over_the_batch(host):
    temperatures = np.array([0.1, 0.5, 1.0, 2.0])
    logits = np.random.default_rng(0).normal(size=(4, 4))
    batched = build(host, "ExpRelaxedOneHotCategorical", temperature=temperatures, logits=logits)
    value, log_prob = draw(host, batched)
    for row in range(4):
        single = build(
            host,
            "ExpRelaxedOneHotCategorical",
            temperature=float(temperatures[row]),
            logits=logits[row],
        )
        np.testing.assert_allclose(single.log_prob(value[row]), log_prob[row], rtol=1e-5)


def test_log_density_is_a_pivot(host):
    """Whatever the logits, it is a constant and the logarithms of a flat Dirichlet."""
    flat = np.log(np.random.default_rng(1).dirichlet(np.ones(6), 20_000)).sum(-1)
    for seed, temperature in enumerate((0.1, 3.0)):
        logits = 5 * np.random.default_rng(seed).normal(size=6)
        relaxed = build(
            host, "ExpRelaxedOneHotCategorical", temperature=temperature, logits=logits
        )
        _, log_prob = draw(host, relaxed, (20_000,), seed=seed)
        pivot = np.asarray(log_prob) - gammaln(6) - 5 * np.log(temperature)
        assert stats.ks_2samp(pivot, flat).pvalue > RARE


@pytest.mark.parametrize("name", SIMPLEX[:1])
def test_densities_integrate_to_one(host, name):
    relaxed = build(host, name, temperature=0.8, logits=np.array([0.4, -0.3]))
    r = np.linspace(-40.0, 40.0, 4001)
    x = np.stack([1 / (1 + np.exp(-r)), 1 / (1 + np.exp(r))], -1)
    density = np.exp(np.asarray(relaxed.log_prob(host.array(x)), dtype=float))
    assert abs(integrate.trapezoid(density * x.prod(-1), r) - 1) < 1e-5


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_log_densities_integrate_to_one(host, temperature, classes):
    """Over the scores less the last, in which the density of log x is that of exp(score)."""
    relaxed = build(
        host, "ExpRelaxedOneHotCategorical", temperature=temperature, logits=LOGITS[:classes]
    )
    axis, step = np.linspace(-30 / temperature, 30 / temperature, 401, retstep=True)
    scores = np.stack(np.meshgrid(*[axis] * (classes - 1), 0.0, indexing="ij"), -1)
    log_x = log_softmax(scores.reshape(-1, classes), -1)
    mass = np.exp(np.asarray(relaxed.log_prob(host.array(log_x)), dtype=float)).sum()
    assert abs(mass * step ** (classes - 1) - 1) < 1e-4


@pytest.mark.parametrize(("zeros", "limit"), [(1, -np.inf), (3, np.inf)])
def test_corners_have_a_limit(host, zeros, limit):
    relaxed = build(host, "RelaxedOneHotCategorical", temperature=0.7, logits=LOGITS)
    value = np.where(np.arange(4) < zeros, 0.0, 1.0 / (4 - zeros))
    assert float(relaxed.log_prob(host.array(value))) == limit


@pytest.mark.parametrize("logits", [LOGITS, MASKED])
def test_entropy_is_the_mean_of_own_draws(host, logits):
    relaxed = build(host, "ExpRelaxedOneHotCategorical", temperature=0.7, logits=logits)
    truth = concrete_entropy(np.isfinite(logits).sum(), 0.7)
    _, log_prob = draw(host, relaxed, (20_000,))
    error = np.asarray(log_prob).std() / np.sqrt(20_000)
    assert abs(-np.asarray(log_prob).mean() - truth) < 4 * error


def test_divergence_of_two_classes(host):
    """Two classes are a logistic, whose divergence quadrature gives."""
    p, q = stats.logistic(1.4 / 0.5, 1 / 0.5), stats.logistic(-0.7 / 0.5, 1 / 0.5)
    truth = p.expect(lambda y: p.logpdf(y) - q.logpdf(y))
    for name in RELAXED:
        pair = [
            build(host, name, temperature=0.5, logits=np.array([gap, 0.0])) for gap in (1.4, -0.7)
        ]
        np.testing.assert_allclose(kl_divergence(host, *pair), truth, rtol=1e-5)
    for name in LOGISTIC:
        pair = [build(host, name, temperature=0.5, logits=np.array(gap)) for gap in (1.4, -0.7)]
        np.testing.assert_allclose(kl_divergence(host, *pair), truth, rtol=1e-5)


def test_divergence_of_many_classes(host):
    others = np.array([1.0, 3.0, -2.0, 0.5])
    p, q = (
        build(host, "ExpRelaxedOneHotCategorical", temperature=0.6, logits=logits)
        for logits in (LOGITS, others)
    )
    value, log_p = draw(host, p, (50_000,))
    ratio = np.asarray(log_p) - np.asarray(q.log_prob(value))
    assert abs(ratio.mean() - kl_divergence(host, p, q)) < 4 * ratio.std() / np.sqrt(50_000)
    assert abs(kl_divergence(host, p, p)) < 1e-5
    masked = build(host, "ExpRelaxedOneHotCategorical", temperature=0.6, logits=MASKED)
    assert abs(kl_divergence(host, masked, masked)) < 1e-5
    assert kl_divergence(host, p, masked) == np.inf
    hotter = build(host, "ExpRelaxedOneHotCategorical", temperature=0.7, logits=LOGITS)
    with pytest.raises(NotImplementedError, match="temperatures differ"):
        kl_divergence(host, p, hotter)


def test_straight_through_categorical(host):
    categorical = build(host, "OneHotCategoricalStraightThrough", logits=LOGITS)
    probs = np.exp(LOGITS) / np.exp(LOGITS).sum()
    np.testing.assert_array_equal(categorical.enumerate_support(), np.eye(4))
    other = build(host, "OneHotCategoricalStraightThrough", logits=np.zeros(4))
    truth = stats.entropy(probs, np.full(4, 0.25))
    np.testing.assert_allclose(kl_divergence(host, categorical, other), truth, rtol=1e-5)


def test_relaxed_straight_through(host):
    relaxed = build(
        host, "RelaxedOneHotCategoricalStraightThrough", temperature=0.05, logits=np.zeros(10)
    )
    hard, log_prob = draw(host, relaxed, (500,))
    assert (np.sort(np.asarray(hard), -1)[:, -2:] == [0.0, 1.0]).all()
    assert np.isfinite(np.asarray(log_prob)).all()
    hard, soft = host.random(relaxed.rsample_with_soft, (500,))
    np.testing.assert_array_equal(np.asarray(hard).argmax(-1), np.asarray(soft).argmax(-1))
    assert float(relaxed.log_prob(1.0 * hard)[0]) == np.inf


def test_support_has_a_bijection(host):
    relaxed = build(host, "ExpRelaxedOneHotCategorical", temperature=0.7, logits=LOGITS)
    value, _ = draw(host, relaxed, (7,))
    biject_to = host.dist.biject_to if host.name == "numpyro" else host.dist.transforms.biject_to
    transform = biject_to(relaxed.support)
    inverse = transform.inv if host.name == "pyro" else transform._inverse
    np.testing.assert_allclose(transform(inverse(value)), value, atol=2e-6)


def test_svi_at_low_temperatures(host):
    """Two hundred relaxed assignments to ten clusters: the host's own stop with NaN."""
    ppl, dist, px = host.ppl, host.dist, host.room.distributions
    rng = np.random.default_rng(0)
    centres = host.array(3.0 * rng.normal(size=10))
    data = host.array(np.asarray(centres)[rng.integers(10, size=200)] + 0.5 * rng.normal(size=200))

    def model(temperature, data):
        with ppl.plate("row", 200):
            prior = px.ExpRelaxedOneHotCategorical(temperature, logits=0.0 * centres)
            y = ppl.sample("y", prior)
            ppl.sample("x", dist.Normal(host.math.exp(y) @ centres, 0.5), obs=data)

    def guide(temperature, data):
        logits = ppl.param("logits", host.array(np.zeros((200, 10))))
        with ppl.plate("row", 200):
            ppl.sample("y", px.ExpRelaxedOneHotCategorical(temperature, logits=logits))

    loss = ppl.infer.Trace_ELBO()
    if host.name == "pyro":
        ppl.clear_param_store()
    for temperature, steps in ((0.2, 140), (0.1, 30), (0.05, 30)):
        fitted = host.run_svi(model, guide, loss, steps, host.array(temperature), data)
        if host.name == "pyro":
            logits = ppl.param("logits").detach()
        else:
            logits = fitted[1].params["logits"]
            assert np.isfinite(np.asarray(fitted[1].losses)).all()
        assert np.isfinite(np.asarray(logits)).all()
    if host.name == "pyro":
        ppl.clear_param_store()
