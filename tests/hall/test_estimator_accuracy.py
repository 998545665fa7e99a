"""The accuracy of gradient estimates, on estimates whose law is known."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import stats

from ppl_ext.estimators import (
    EstimatorAccuracy,
    EstimatorReport,
    assess_estimator,
    enumerate_choices,
    expect_exactly,
    plan_groups,
)
from ppl_ext.plots import plot_estimators

EXACT = np.array([[1.0, -2.0], [0.5, 0.5]])


def assess(bias, scale, seed, groups=32, size=200):
    noise = scale * np.random.default_rng(seed).normal(size=(groups, size, *EXACT.shape))
    return assess_estimator("made up", EXACT + bias + noise, EXACT, evaluations=1, seconds=1e-6)


def test_exact_gradient_is_the_derivative_of_the_expectation():
    rng = np.random.default_rng(0)
    choices = enumerate_choices(3, 3)
    values = rng.normal(size=(27, 2))
    logits = rng.normal(size=(2, 3, 3))
    logits[0, 1, 2] = -np.inf
    values[(choices[:, 1] == 2), 0] = np.nan  # of what cannot happen

    def expectation(logits):
        odds = np.exp(logits)
        return expect_exactly(odds / odds.sum(-1, keepdims=True), choices, values)

    _, gradient = expectation(logits)
    for index in np.ndindex(*logits.shape):
        step = np.zeros(logits.shape)
        step[index] = 1e-6
        slope = (expectation(logits + step)[0] - expectation(logits - step)[0]) / 2e-6
        np.testing.assert_allclose(gradient[index], slope[index[0]], atol=1e-8)


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_squared_bias_is_unbiased_and_knows_its_error(bias):
    found = [assess(bias, 1.0, seed) for seed in range(200)]
    squares = np.array([each.squared_bias for each in found])
    truth = 4 * bias**2
    spread = squares.std()
    assert abs(squares.mean() - truth) < stats.norm.isf(5e-6) * spread / np.sqrt(200)
    errors = np.array([each.squared_bias_error for each in found])
    # The jackknife is too wide by sqrt(2) where there is no bias.
    assert 0.8 < np.sqrt((errors**2).mean()) / spread < 1.25 * np.sqrt(2 if bias == 0 else 1)
    assert abs(np.mean([each.variance for each in found]) / 4 - 1) < 0.01
    assert np.mean([each.biased for each in found]) == pytest.approx(float(bias > 0), abs=0.05)


def test_relative_bias_and_cosine():
    found = assess(0.3, 0.1, seed=0)
    length = np.linalg.norm(EXACT)
    biased = EXACT + 0.3
    assert abs(found.relative_bias - 0.6 / length) < 5 * found.relative_bias_error
    cosine = (biased * EXACT).sum() / (length * np.linalg.norm(biased))
    assert found.cosine == pytest.approx(cosine, abs=1e-3)
    assert found.squared_error(100) < found.squared_error()
    with pytest.raises(FrozenInstanceError):
        found.variance = 0.0


def test_estimates_without_noise():
    groups = np.broadcast_to(EXACT, (32, 3, 2, 2))
    found = assess_estimator("exact", groups, EXACT, evaluations=9, seconds=0.0)
    assert not found.biased
    assert found.variance == 0.0
    assert found.cosine == pytest.approx(1.0)


def test_a_gradient_of_length_zero_prints():
    zero = np.zeros((1, 3))
    found = assess_estimator(
        "noise", np.random.default_rng(0).normal(size=(32, 5, 1, 3)), zero,
        evaluations=1, seconds=0.0,
    )  # fmt: skip
    assert "nan" in str(EstimatorReport((found,), 0.0, 0.0, 160))


def test_groups_are_many_and_fit():
    for floats in (1, 1000, 10**9):
        groups, size = plan_groups(5000, floats)
        assert groups >= 32
        assert groups * size >= 5000
        assert size == 1 or size * floats <= 2**22


@pytest.mark.parametrize(("variables", "classes"), [(17, 2), (1, 100_001), (10_000, 3)])
def test_too_many_choices(variables, classes):
    with pytest.raises(ValueError, match=r"expected at most 100,000.*Take a few"):
        enumerate_choices(variables, classes)
    assert len(enumerate_choices(5, 10)) == 100_000


def row(name, bias, variance, evaluations):
    return EstimatorAccuracy(
        name, bias**2, 1e-6, variance, bias, 0.01, 1.0 - bias, evaluations, 1e-6
    )


def test_advice_weighs_bias_against_variance():
    rows = (row("Biased()", 0.5, 0.1, 1), row("Noisy()", 0.1, 2.0, 1), row("Many(4)", 0.0, 1.0, 4))
    report = EstimatorReport(rows, 1.0, 1.0, 1000)
    assert report.advice.startswith("with one evaluation, Noisy() (relative bias 0.1)")
    assert report.advice.endswith("with 4, Many(4), in which no bias was found.")
    table = str(report).splitlines()
    assert len(table) == 7
    assert len({len(line) for line in table[:5]}) == 1


def test_plot():
    rows = (row("Biased()", 0.5, 0.1, 1), row("Exact()", 0.0, 0.0, 9), row("Many(4)", 0.0, 1.0, 4))
    axes = plot_estimators(EstimatorReport(rows, 1.0, 1.0, 1000), s=10)
    assert {text.get_text() for text in axes.texts} == {"Biased", "Many"}
    assert axes.get_xscale() == axes.get_yscale() == "log"
    axes.figure.clear()
