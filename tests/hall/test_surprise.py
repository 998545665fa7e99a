"""Observations like simulations and unlike them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from ppl_ext.calibration import measure_surprise
from ppl_ext.calibration.distances import compare_samples, find_frame
from ppl_ext.plots import plot_surprise

plt.switch_backend("Agg")


def simulate(rng, count):
    """Data as they come: correlated, counted, without a mean, positive, constant."""
    first = rng.normal(size=count)
    columns = [
        first,
        100 + 5 * (first + 0.2 * rng.normal(size=count)),
        rng.poisson(0.3, size=count),
        rng.standard_cauchy(count),
        rng.exponential(size=count),
        np.full(count, 7.0),
    ]
    return np.stack(columns, axis=1)


NAMES = ["first", "second", "count", "cauchy", "waiting", "seven"]
USUAL = np.array([0.5, 102.5, 0.0, 1.0, 1.0, 7.0])


def test_false_alarms_come_at_their_level():
    p_values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        p_values.append(measure_surprise(simulate(rng, 600), simulate(rng, 1)[0]).p_value)
    for level in (0.02, 0.1, 0.3):
        low, high = stats.binom.interval(0.999, 200, level)
        assert low <= np.sum(np.array(p_values) <= level) <= high


def test_the_discrepancy_of_equal_laws_is_uniform():
    p_values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        a, b = rng.normal(size=(60, 2)), rng.normal(size=(15, 2))
        p_values.append(compare_samples(a, b, rng, num_trials=199))
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (0, 9.0, "'first' is 9; simulations lie between"),
        (1, 97.5, "strange beside the other columns"),
        (2, 30.0, "'count' is 30; simulations lie between 0 and"),
        (3, 1e6, "'cauchy' is 1e+06"),
        (4, -3.0, "'waiting' is -3"),
        (5, 7.1, "'seven' is 7.1; simulations lie between 7 and 7"),
    ],
)
def test_a_strange_column_is_named(column, value, words):
    simulated = simulate(np.random.default_rng(0), 2000)
    assert measure_surprise(simulated, USUAL, columns=NAMES).ok
    strange = USUAL.copy()
    strange[column] = value
    found = measure_surprise(simulated, strange, columns=NAMES)
    assert not found.ok
    assert words in found.sentence
    assert "do not trust it" in str(found)
    assert found.column[0] == column


def test_a_hole_is_seen_by_the_neighbours():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, size=2000)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.05 * rng.normal(size=(2000, 2))
    found = measure_surprise(ring, np.zeros(2))
    assert not found.ok
    assert found.distances["mahalanobis"] < found.held_out["mahalanobis"].min()
    assert "no single column" in found.sentence


def test_several_observations_are_seen_together():
    rng = np.random.default_rng(0)
    simulated = rng.normal(size=(2000, 4))
    assert measure_surprise(simulated, rng.normal(size=(30, 4))).ok
    moved = measure_surprise(simulated, rng.normal(size=(30, 4)) + np.array([0, 0.9, 0, 0]))
    assert not moved.ok
    assert moved.sentence.startswith("all of them together; column 1 has mean")
    # Each of them is as usual as can be; all of them in the middle are not.
    huddled = measure_surprise(simulated, 0.1 * rng.normal(size=(30, 4)))
    assert huddled.p_values.min() > 0.05
    assert huddled.set_p_value < 0.01
    one = rng.normal(size=(3, 4))
    one[2, 3] = 40
    assert measure_surprise(simulated, one).sentence.startswith("observation 2: column 3 is 40")


def test_distances_are_those_of_the_normal_law():
    rng = np.random.default_rng(0)
    root = np.array([[2.0, 0.0], [1.8, 0.3]])
    frame = find_frame(rng.normal(size=(20_000, 2)) @ root.T + [5, -5])
    z = np.array([[3.0, 0.0], [0.0, 3.0], [1.0, -2.0]])
    exact = np.linalg.norm(z, axis=1)
    np.testing.assert_allclose(frame.measure_mahalanobis(z @ root.T + [5, -5]), exact, rtol=0.05)
    # E(second | first) of the normal law.
    assert frame.expect(np.array([7.0, 0.0]), 1) == pytest.approx(-5 + 0.9 * 2, abs=0.05)


def test_more_columns_than_simulations():
    rng = np.random.default_rng(0)
    simulated = rng.normal(size=(600, 700))
    assert measure_surprise(simulated, rng.normal(size=700)).ok
    assert not measure_surprise(simulated, 1.5 * rng.normal(size=700)).ok


def test_the_picture_shows_the_distances():
    rng = np.random.default_rng(0)
    simulated = np.hstack([rng.normal(size=(1000, 2)), np.ones((1000, 1))])
    found = measure_surprise(simulated, np.array([[0.0, 90.0, 1.0], [0.0, 0.0, 2.0]]))
    assert np.isinf(found.distances["mahalanobis"][1])
    _, ax = plt.subplots()
    assert plot_surprise(found, ax, color="black") is ax
    observed = {line.get_label(): line for line in ax.get_lines()}["2 observed"]
    assert observed.get_xdata()[0] == found.distances["mahalanobis"][0]
    assert np.isfinite(observed.get_xydata()).all()
    assert observed.get_color() == "black"
    plt.close("all")


@pytest.mark.parametrize(
    ("simulated", "observed", "more", "message"),
    [
        (np.zeros((600, 2)), np.zeros(3), {}, "expected .width. or"),
        (np.zeros((599, 2)), np.zeros(2), {}, "599 simulations; expected 600 or more"),
        (np.zeros((600, 2)), np.full(2, np.nan), {}, "NaN or infinite"),
        (np.zeros((600, 2)), np.zeros(2), {"columns": ["a"]}, "1 names for 2 columns"),
    ],
)
def test_what_cannot_be_compared_is_refused(simulated, observed, more, message):
    with pytest.raises(ValueError, match=message):
        measure_surprise(simulated, observed, **more)
