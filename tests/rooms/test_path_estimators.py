"""Gradients through one-hot draws, against the matrices of the papers, quadrature and sums."""

from functools import cache, partial
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

from tests.oracles import paths
from tests.rooms.estimator_rows import PATHS

RARE = 1e-5  # rate of false alarms of one test
LOGITS = np.array([0.3, -1.2, 2.0, 0.0])
SLOPE = np.array([1.0, -2.0, 0.5, 3.0])
ESTIMATORS = {row.name: row.arguments for row in PATHS}
HARD = [row.name for row in PATHS if row.draws_are_hard]
KNOWN = [
    ("StraightThrough", {}, paths.straight_through),
    ("ReinMax", {}, paths.reinmax),
    ("ReinMax", {"temperature": 1.3}, partial(paths.reinmax, temperature=1.3)),
    ("GappedStraightThrough", {}, partial(paths.gapped, temperature=1.0, gap=1.0)),
    (
        "GappedStraightThrough",
        {"temperature": 0.5, "gap": None},
        partial(paths.gapped, temperature=0.5, gap=None),
    ),
]
MEANS = [
    ("GumbelRao", {"temperature": 0.5}, partial(paths.rao, temperature=0.5)),
    ("ReinMaxRao", {"temperature": 0.8}, partial(paths.reinmax_rao, temperature=0.8)),
]


def repr_of(row):
    return f"{row.name}-{row.arguments}"


def make(host, name, **arguments):
    return getattr(host.room.estimators, name)(**(arguments or ESTIMATORS[name]))


def draw(host, estimator, logits, slope, seed=0, sample_shape=()):
    """Draw values and the derivative of their product with the slope, as NumPy arrays."""
    if isinstance(logits, np.ndarray):
        logits = host.array(logits)
    weight = host.math.asarray(host.array(slope), dtype=logits.dtype)
    if host.name == "pyro":

        def both():
            z = estimator.sample(logits.requires_grad_(), sample_shape)
            (gradient,) = host.math.autograd.grad((z * weight).sum(), logits)
            return z.detach().double().numpy(), gradient.double().numpy()

        return host.random(both, seed=seed)
    jax = import_module("jax")
    # The estimator is an argument: it is a pytree, and its settings belong to the structure.
    program = compiled_slope() if is_estimator(host, estimator) else slope_of_draw
    gradient, z = program(logits, estimator, weight, jax.random.key(seed), sample_shape)
    return np.asarray(z, dtype=float), np.asarray(gradient, dtype=float)


def is_estimator(host, candidate):
    return isinstance(candidate, host.room.estimators.AbstractEstimator)


def slope_of_draw(logits, estimator, weight, key, sample_shape):
    def product(logits):
        z = estimator.sample(key, logits, sample_shape)
        return (z * weight).sum(), z

    return import_module("jax").grad(product, has_aux=True)(logits)


@cache
def compiled_slope():
    return import_module("jax").jit(slope_of_draw, static_argnums=4)


@pytest.mark.parametrize(("name", "arguments", "matrices"), KNOWN)
def test_matrix_of_each_draw(host, name, arguments, matrices):
    estimator = getattr(host.room.estimators, name)(**arguments)
    z, gradient = draw(host, estimator, np.tile(LOGITS, (200, 1)), SLOPE)
    expected = matrices(LOGITS)[z.argmax(-1)] @ SLOPE
    assert set(z.argmax(-1)) >= {0, 2, 3}
    np.testing.assert_allclose(gradient, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("name", "arguments", "matrices"), MEANS)
def test_mean_matrix_given_the_draw(host, name, arguments, matrices):
    """Two classes, where the mean over the noise is an integral; z-tests."""
    estimator = getattr(host.room.estimators, name)(num_draws=2, **arguments)
    z, gradient = draw(host, estimator, np.tile([0.8, 0.0], (20_000, 1)), np.array([1.0, 0.0]))
    for drawn in range(2):
        rows = gradient[z.argmax(-1) == drawn, 0]
        error = rows.std() / np.sqrt(len(rows))
        score = (rows.mean() - matrices(0.8)[drawn][0, 0]) / error
        assert abs(score) < stats.norm.isf(RARE / 2)


@pytest.mark.parametrize("name", HARD)
def test_draws_are_one_hot_and_follow_the_logits(host, name):
    z, _ = draw(host, make(host, name), np.tile(LOGITS, (20_000, 1)), SLOPE)
    assert ((z == 0) | (z == 1)).all()
    assert (z.sum(-1) == 1).all()
    assert stats.chisquare(z.sum(0), 20_000 * softmax(LOGITS)).pvalue > RARE


def test_reinmax_is_exact_for_quadratic_functions(host):
    """Over all draws of one variable, weighted by their probabilities: no noise is left."""
    form = np.random.default_rng(0).normal(size=(4, 4))
    form = form + form.T
    p = softmax(LOGITS)
    estimate = np.zeros(4)
    for column in range(4):
        z, columns = draw(
            host, make(host, "ReinMax", temperature=1.0), np.tile(LOGITS, (400, 1)),
            np.eye(4)[column],
        )  # fmt: skip
        for drawn in range(4):
            row = int(np.flatnonzero(z.argmax(-1) == drawn)[0])
            estimate += p[drawn] * columns[row] * form[drawn, column]
    values = np.diag(form) / 2
    np.testing.assert_allclose(estimate, p * (values - p @ values), atol=1e-6)


def estimates_of(host, estimator, problem, num_draws, seed=0):
    inner, outer = host.array(problem.inner), host.array(problem.outer)

    def f(z):
        return host.math.tanh(z.reshape(*z.shape[:-2], -1) @ inner) @ outer

    found = host.random(
        host.room.estimators.estimate_gradient, f, host.array(problem.logits), estimator,
        num_draws=num_draws, seed=seed,
    )  # fmt: skip
    return np.asarray(found.gradient, dtype=float)


def test_gumbel_rao_is_gumbel_softmax_with_less_variance(host):
    problem = paths.Problem(3, 3)
    plain = estimates_of(
        host, make(host, "StraightThroughGumbelSoftmax", temperature=0.4), problem, 20_000
    )
    variances = [plain.var(0).sum()]
    for num_draws in (1, 8):
        rao = make(host, "GumbelRao", temperature=0.4, num_draws=num_draws)
        found = estimates_of(host, rao, problem, 20_000, seed=num_draws)
        error = np.sqrt((plain.var(0) + found.var(0)) / 20_000)
        score = np.abs(plain.mean(0) - found.mean(0)) / error
        assert score.max() < stats.norm.isf(RARE / 18)
        variances.append(found.var(0).sum())
        if num_draws == 1:
            assert stats.ks_2samp(plain[:, 0, 0], found[:, 0, 0]).pvalue > RARE
    assert abs(variances[1] / variances[0] - 1) < 0.1
    assert variances[1] > 1.5 * variances[2]


def test_reinmax_rao_keeps_its_mean_with_less_variance(host):
    problem = paths.Problem(3, 3)
    few, many = (
        estimates_of(host, make(host, "ReinMaxRao", temperature=0.5, num_draws=m), problem, 20_000)
        for m in (1, 10)
    )
    error = np.sqrt((few.var(0) + many.var(0)) / 20_000)
    assert (np.abs(few.mean(0) - many.mean(0)) / error).max() < stats.norm.isf(RARE / 18)
    assert many.var(0).sum() < 0.5 * few.var(0).sum()


@pytest.mark.parametrize("name", ["GumbelSoftmax", "GumbelRao", "StraightThroughGumbelSoftmax"])
def test_low_temperatures_come_near_the_draw(host, name):
    estimator = make(host, name, temperature=0.01)
    z, gradient = draw(host, estimator, np.tile(LOGITS, (4000, 1)), SLOPE)
    assert np.mean(z.max(-1) > 0.99) > 0.97
    assert np.isfinite(gradient).all()
    # Mostly nothing, and rarely much.
    assert np.median(np.abs(gradient).max(-1)) < 0.2 < np.abs(gradient).max()


@pytest.mark.parametrize("row", PATHS, ids=repr_of)
def test_hard_logits(host, row):
    """Masked classes, logits of scale 100, and every temperature: finite and summing to zero."""
    rng = np.random.default_rng(0)
    rows = np.stack([*100 * rng.normal(size=(20, 4)), [0.3, -np.inf, 2.0, 0.0], LOGITS + 1e4])
    temperatures = [None] if row.name == "StraightThrough" else [0.01, 1.0, 100.0]
    for temperature in temperatures:
        # An array, so that one program serves all of them.
        arguments = {} if temperature is None else {"temperature": host.array(temperature)}
        estimator = getattr(host.room.estimators, row.name)(**{**row.arguments, **arguments})
        z, gradient = draw(host, estimator, rows, SLOPE, sample_shape=(50,))
        assert np.isfinite(z).all()
        assert np.isfinite(gradient).all()
        scale = np.abs(gradient).sum(-1)
        assert (np.abs(gradient.sum(-1)) <= 1e-5 * scale + 1e-4).all()
        assert (z[:, 20, 1] == 0).all()
        assert gradient[20, 1] == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_half_precision(host, name, dtype):
    logits = host.math.asarray(
        host.array(np.tile(LOGITS, (3, 1))), dtype=getattr(host.math, dtype)
    )
    z, gradient = draw(host, make(host, name), logits, SLOPE)
    assert np.abs(z.sum(-1) - 1).max() < 2e-2
    assert np.isfinite(gradient).all()


def through_site(host, estimator):
    """Draw as a sample statement does, within a larger batch."""
    distribution = host.room.distributions.OneHotCategoricalStraightThrough

    def sample(*key_and_logits):
        *key, logits, shape = key_and_logits
        site = distribution(logits=logits, estimator=estimator).expand((5,))
        return (site.sample if key else site.rsample)(*key, shape)

    return SimpleNamespace(sample=sample)


@pytest.mark.parametrize("name", ["GappedStraightThrough", "GumbelRao", "ReinMax"])
def test_categorical_takes_the_estimator(host, name):
    """Same seed, same draws and gradients as the estimator alone."""
    estimator = make(host, name)
    alone = draw(host, estimator, np.tile(LOGITS, (5, 1)), SLOPE)

    site = through_site(host, estimator)
    for ours, theirs in zip(draw(host, site, np.tile(LOGITS, (5, 1)), SLOPE), alone,
                            strict=True):  # fmt: skip
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_categorical_refuses_other_estimators(host):
    px = host.room
    for bad in (px.estimators.LeaveOneOut(), px.estimators.GumbelSoftmax(), "ReinMax"):
        with pytest.raises(ValueError, match="whose one-hot draws carry a gradient"):
            px.distributions.OneHotCategoricalStraightThrough(
                logits=host.array(LOGITS), estimator=bad
            )
