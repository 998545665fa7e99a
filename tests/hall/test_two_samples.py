"""Classifiers that tell samples apart: against normals whose overlap is known."""

import sys

import numpy as np
import pytest
from scipy import stats

from ppl_ext.calibration import LocalC2ST, c2st, measure_local_c2st
from tests.hall.conjugates import draw_posterior, simulate_normals


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_accuracy_is_that_of_the_best_classifier(shift):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(300, 1)), rng.normal(shift, 1, size=(300, 1))
    # Units do not matter: everything is standardised by the first sample.
    accuracy = c2st(50 + 1e3 * a, 50 + 1e3 * b)
    assert accuracy == pytest.approx(stats.norm.cdf(shift / 2), abs=0.06)


def test_a_wrong_correlation_is_told_apart():
    rng = np.random.default_rng(0)
    x = np.zeros(2)
    right, wrong = (draw_posterior(rng, x, 250, correlation=each) for each in (0.0, 0.95))
    assert c2st(right, wrong) > 0.65


def test_the_line_that_installs_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "ppl-ext\[calibration\]"'):
        c2st(np.arange(10.0)[:, None], np.arange(10.0)[:, None])


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((9, 1)), np.zeros((8, 1)), r"as many draws of each .*c2st\(a\[:n\], b\[:n\]\)"),
        (np.zeros(9), np.zeros(9), r"expected \[draw, dim\]"),
        (np.ones((9, 2)), np.ones((9, 2)), "column 0 is constant"),
        (np.full((9, 1), np.nan), np.ones((9, 1)), "NaN or infinite"),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        c2st(a, b)


def compare_at(x_o, seed=0, count=1000, spoil=None, **wrong):
    """Test a posterior at one observation; spoilt only where the data say so, if asked."""
    rng = np.random.default_rng(seed + 1000)
    x_o = np.asarray(x_o, dtype=float)
    made = simulate_normals(seed, count, draws=1, dim=len(x_o), **wrong)
    drawn, there = made.draws[:, 0], draw_posterior(rng, x_o, 500, **wrong)
    if spoil:
        right = draw_posterior(rng, made.data, 1)[:, 0]
        drawn = np.where(spoil(made.data)[:, None], drawn, right)
        if not spoil(x_o[None])[0]:
            there = draw_posterior(rng, x_o, 500)
    return measure_local_c2st(made.truths, drawn, made.data, x_o, there, seed=seed)


def test_p_values_of_right_posteriors_are_uniform():
    found = [compare_at([1.0], seed, count=100) for seed in range(40)]
    p_values = np.array([each.p_value for each in found])
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert np.sum([not each.ok for each in found]) <= stats.binom.ppf(0.999, 40, 0.01)


@pytest.mark.parametrize(
    "wrong",
    [{"scale": 0.6}, {"scale": 1.6}, {"shift": 0.7}, {"correlation": 0.8}, {"prior": True}],
)
def test_wrong_posteriors_are_caught_at_an_observation(wrong):
    found = compare_at([1.0, 1.0], **wrong)
    assert not found.ok, found
    assert found.p_value == 1 / 200


def test_what_is_wrong_elsewhere_is_not_wrong_here():
    wrong = {"spoil": lambda data: data[:, 0] > 0, "scale": 2.5}
    assert not compare_at([1.5], **wrong).ok
    assert all(compare_at([-1.5], seed, **wrong).ok for seed in range(3))


def test_the_classifier_says_where_there_is_too_much():
    found = compare_at([0.0], count=4000, shift=1.0)
    rng = np.random.default_rng(1000)
    there = draw_posterior(rng, np.zeros(1), 500, shift=1.0)[:, 0]
    sd = np.sqrt(0.5)
    # The best classifier knows both densities.
    ours, theirs = stats.norm.pdf(there, sd, sd), stats.norm.pdf(there, 0, sd)
    assert np.corrcoef(found.probability, ours / (ours + theirs))[0, 1] > 0.95


def test_the_p_value_is_a_rank():
    null = np.arange(199) / 1000
    assert LocalC2ST(0.1985, null, np.zeros(1)).p_value == 1 / 200
    assert LocalC2ST(0.0985, null, np.zeros(1)).p_value == pytest.approx(0.505)
    assert "exchanged pairs give 0.19 or less" in str(LocalC2ST(0.0985, null, np.zeros(1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": np.zeros((50, 9, 1))}, r"Take one draw for each simulation: draws\[:, 0\]"),
        ({"observed": np.zeros(2)}, r"'observed': \(2,\)"),
        ({"data": np.full((50, 1), np.inf)}, "NaN or infinite"),
        ({"num_trials": 20}, "num_trials = 20; expected 99"),
    ],
)
def test_local_tests_of_what_does_not_fit_are_refused(change, message):
    some = np.random.default_rng(0).normal(size=(50, 1))
    given = {"truths": some, "draws": some, "data": some, "observed": some[0],
             "observed_draws": some}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        measure_local_c2st(**{**given, **change})
