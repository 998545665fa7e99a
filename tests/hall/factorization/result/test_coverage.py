"""Coverage: the numbers are SciPy's, and the plot shows them."""

from dataclasses import replace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from ppl_ext.factorization import Assessment, Prediction
from ppl_ext.factorization.result.assessment import assess_prediction
from ppl_ext.plots import plot_coverage

matplotlib.use("Agg")
RNG = np.random.default_rng(0)
SD = RNG.uniform(0.5, 2.0, size=4000)
STANDARD = Prediction(np.zeros(4000), np.zeros(4000), np.ones(4000))
GOOD = Prediction(np.zeros(4000), np.zeros(4000), SD)


@pytest.fixture
def ax():
    yield plt.figure().add_subplot()
    plt.close("all")


@pytest.mark.parametrize(("scale", "ok"), [(1.0, True), (0.7, False), (1.5, False)])
def test_coverage_of_scaled_noise(scale, ok):
    assessment = assess_prediction(GOOD, scale * SD * RNG.standard_normal(4000))
    for level, fraction in assessment.coverage.items():
        expected = 2 * stats.norm.cdf(stats.norm.ppf(0.5 + level / 2) / scale) - 1
        # Four standard errors at most.
        assert abs(fraction - expected) < 4 * np.sqrt(0.25 / 4000)
    assert assessment.ok == ok
    assert assessment.surprise == pytest.approx(scale**2, abs=4 * scale**2 * np.sqrt(2 / 4000))
    word = {0.7: "too wide", 1.0: "can be trusted", 1.5: "much farther out"}[scale]
    assert word in str(assessment)


def test_narrow_intervals_and_missed_tails_are_told_apart():
    values = RNG.standard_normal(4000)
    narrow = assess_prediction(GOOD, 1.12 * SD * values)
    assert "too narrow" in narrow.advice
    # One rating in a hundred is off by ten standard deviations: the intervals do not notice.
    values[:40] = 10.0
    tails = assess_prediction(GOOD, SD * values)
    assert abs(tails.excess) < 0.02
    assert not tails.ok
    assert tails.surprise == pytest.approx(1 + 0.01 * 99, abs=0.1)
    assert "held_out" in tails.advice


def test_likelihood_is_that_of_scipy():
    values = RNG.standard_normal(4000)
    expected = -stats.norm(0, SD).logpdf(values).mean()
    assert assess_prediction(GOOD, values).nll == pytest.approx(expected)


def test_plot_shows_the_fractions(ax):
    coverage = {0.9: 0.85, 0.5: 0.45}
    drawn = plot_coverage(Assessment(500, 0.9, 0.7, 1.3, coverage), ax, color="red")
    assert drawn is ax
    line = next(line for line in ax.lines if line.get_label() == "500 ratings")
    assert line.get_xydata().tolist() == [[0.5, 0.45], [0.9, 0.85]]
    assert line.get_color() == "red"
    assert ax.get_title(loc="left") == "RMSE 0.900, negative log-likelihood 1.300"


def test_a_handful_of_ratings_is_no_proof():
    prediction = Prediction(np.zeros(20), np.zeros(20), np.ones(20))
    found = assess_prediction(prediction, stats.norm.ppf((np.arange(20) + 0.5) / 20))
    assert not found.ok
    assert "20 ratings are too few to tell" in found.advice


def test_rounding_alone_makes_the_inner_intervals_narrow():
    # Whole stars whose truth is known: exact coverage, by summing over the stars.
    rng = np.random.default_rng(1)
    mean, sd = rng.uniform(2.5, 4.5, size=20_000), rng.uniform(0.8, 1.1, size=20_000)
    stars = np.arange(1, 6)
    edges = np.concatenate([[-np.inf], stars[:-1] + 0.5, [np.inf]])
    mass = np.diff(stats.norm.cdf(edges, mean[:, None], sd[:, None]), axis=1)
    off = np.abs(stars - mean[:, None])
    exact = {
        level: np.sum(mass * (off <= stats.norm.ppf(0.5 + level / 2) * sd[:, None])) / 20_000
        for level in (0.5, 0.8, 0.9, 0.95)
    }
    assert exact[0.5] < 0.49
    assert all(0 < exact[level] - level < 0.013 for level in (0.8, 0.9, 0.95))
    prediction = Prediction(mean, np.zeros(20_000), sd)
    drawn = (rng.uniform(size=(20_000, 1)) > np.cumsum(mass, axis=1)).sum(axis=1) + 1.0
    found = assess_prediction(prediction, drawn)
    for level, expected in exact.items():
        assert abs(found.coverage[level] - expected) < 4 * np.sqrt(0.25 / 20_000)


def test_advice_fits_what_is_wrong():
    tails = stats.t(3.0).ppf((np.arange(4000) + 0.5) / 4000)
    pointed = assess_prediction(
        Prediction(np.zeros(4000), np.zeros(4000), np.ones(4000)), 0.6 * tails
    )
    assert pointed.excess > 0
    assert pointed.coverage[0.95] > 0.95
    assert "too wide" in pointed.advice
    # The middle is too wide, and yet one rating in twenty-five lies beyond 95 %.
    middle = 0.55 * np.random.default_rng(0).standard_normal(4000)
    middle[:240] = 2.05
    both = assess_prediction(STANDARD, middle)
    assert both.coverage[0.95] < 0.95 < 0.5 + both.coverage[0.5]
    assert "inner intervals are too wide and those of 95 % too narrow" in both.advice
    for scale in (0.6, 1.12):
        found = assess_prediction(
            GOOD, scale * SD * np.random.default_rng(0).standard_normal(4000)
        )
        assert "fewer, and keep those under which ratings held out" in found.advice
        assert "fewer" not in replace(found, num_factors=1).advice
