"""Coverage, random points, contraction and places, of posteriors known in closed form."""

import arviz_plots
import matplotlib.pyplot as plt
import numpy as np
import pytest
from packaging.version import Version
from scipy import stats

from ppl_ext.calibration import (
    Calibration,
    Contraction,
    ExpectedCoverage,
    measure_contraction,
    measure_expected_coverage,
    measure_interval_coverage,
    measure_tarp,
)
from ppl_ext.plots import plot_contraction, plot_expected_coverage
from tests.hall.conjugates import simulate_normals

plt.switch_backend("Agg")

WRONG = {
    "narrow": {"scale": 0.6},
    "wide": {"scale": 1.6},
    "shifted": {"shift": 1.0},
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def by_density(made):
    return measure_expected_coverage(made.log_q_truth, made.log_q_draws)


def by_random_points(made):
    return measure_tarp(made.truths, made.draws)


def by_points_of_the_data(made):
    return measure_tarp(made.truths, made.draws, references=made.data)


@pytest.mark.parametrize("check", [by_density, by_random_points, by_points_of_the_data])
def test_the_p_values_of_right_posteriors_are_uniform(check):
    # So few draws that raw ranks, on a grid of twentieths, would fail.
    found = [check(simulate_normals(seed, count=60, draws=19)) for seed in range(250)]
    p_values = np.array([each.p_value for each in found])
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    low, high = stats.binom.interval(0.999, 250, 0.05)
    assert low <= np.sum(p_values < 0.05) <= high
    assert np.sum([not each.ok for each in found]) <= stats.binom.ppf(0.999, 250, 0.01)


def test_the_band_holds_the_whole_curve_at_its_level():
    places = np.sort(np.random.default_rng(0).uniform(size=(4000, 50)), axis=1)
    found = ExpectedCoverage(places[0], num_draws=99)
    low, high = found.measure_band(0.9)
    # Both sides of each step of the curve, beside the ends of the band at that level.
    before, after = np.arange(50) / 50, np.arange(1, 51) / 50
    inside = (before >= np.interp(places, found.levels, low) - 1e-9) & (
        after <= np.interp(places, found.levels, high) + 1e-9
    )
    outside = np.sum(~inside.all(1))
    assert abs(outside - 400) < 3.3 * np.sqrt(4000 * 0.1 * 0.9)


@pytest.mark.parametrize("check", [by_density, by_random_points, by_points_of_the_data])
@pytest.mark.parametrize("wrong", ["narrow", "wide"])
def test_wrong_widths_are_caught_and_named(check, wrong):
    for seed in range(3):
        found = check(simulate_normals(seed, count=400, dim=3, **WRONG[wrong]))
        assert found.verdict == {"narrow": "overconfident", "wide": "conservative"}[wrong], found


@pytest.mark.parametrize("check", [by_density, by_random_points, by_points_of_the_data])
def test_a_shift_is_caught(check):
    for seed in range(3):
        assert not check(simulate_normals(seed, count=600, dim=3, **WRONG["shifted"])).ok


def test_a_prior_is_seen_by_points_that_know_the_data_alone():
    made = simulate_normals(count=400, prior=True)
    assert by_density(made).ok
    assert by_random_points(made).ok
    assert not by_points_of_the_data(made).ok


def test_a_wrong_correlation_is_seen_by_what_looks_at_all_dimensions():
    made = simulate_normals(count=2000, correlation=0.95)
    assert not by_density(made).ok
    assert not by_random_points(made).ok
    assert Calibration.from_draws({"theta": made.truths}, {"theta": made.draws}).ok


def test_coverage_and_area_of_narrow_normals():
    found = by_density(simulate_normals(count=4000, draws=399, dim=1, scale=0.5))
    half = stats.norm.ppf(0.5 + found.levels / 2)
    exact = 2 * stats.norm.cdf(0.5 * half) - 1
    np.testing.assert_allclose(found.coverage, exact, atol=0.03)
    gap = np.trapezoid((exact - found.levels)[50:], found.levels[50:])
    assert found.area == pytest.approx(gap, abs=0.01)
    assert found.largest_gap == pytest.approx((exact - found.levels).min(), abs=0.03)


def test_scales_and_shifts_of_the_columns_do_not_matter():
    made = simulate_normals(count=100, dim=2)
    scale, shift = np.array([1e-3, 1e4]), np.array([50.0, -1e5])
    plain = by_points_of_the_data(made)
    again = measure_tarp(made.truths * scale + shift, made.draws * scale + shift,
                         references=made.data * scale + shift)  # fmt: skip
    np.testing.assert_allclose(again.places, plain.places, atol=1e-12)


def test_ties_of_densities_are_broken_evenly():
    flat = measure_expected_coverage(np.zeros(2000), np.zeros((2000, 9)))
    assert stats.kstest(flat.places, "uniform").pvalue > 0.001


def test_a_truth_outside_of_the_support_lies_outside_of_every_region():
    found = measure_expected_coverage(np.full(50, -np.inf), np.zeros((50, 99)))
    assert found.places.min() > 0.98
    assert found.verdict == "overconfident"


@pytest.mark.parametrize(
    ("wrong", "contraction", "mean_z", "rms_z"),
    [
        ({}, 0.5, 0.0, 1.0),
        ({"scale": 0.5}, 0.875, 0.0, 2.0),
        ({"scale": 2.0}, -1.0, 0.0, 0.5),
        ({"shift": 2.0}, 0.5, 2.0, np.sqrt(5.0)),
        ({"prior": True}, 0.0, 0.0, 1.0),
    ],
)
def test_contraction_and_z_scores_are_those_of_the_closed_form(wrong, contraction, mean_z, rms_z):
    made = simulate_normals(count=2000, draws=400, **wrong)
    found = measure_contraction(
        {"theta": made.truths, "first": made.truths[:, 0]},
        {"theta": made.draws, "first": made.draws[..., 0]},
        prior_sd={"theta": np.ones(2)},
    )
    assert found.labels == ["theta[0]", "theta[1]", "first"]
    np.testing.assert_allclose(found.mean_contraction["theta"], contraction, atol=0.02)
    np.testing.assert_allclose(found.mean_contraction["first"], contraction, atol=0.1)
    np.testing.assert_allclose(found.mean_z["theta"], mean_z, atol=0.15)
    np.testing.assert_allclose(found.rms_z["theta"], rms_z, rtol=0.06)
    assert (found.unmoved[:2] == ["theta[0]", "theta[1]"]) == (contraction < 0.1)


def test_contraction_of_constants_and_certain_sites():
    truths = {"zero": np.zeros(4), "k": np.array([0, 1, 1, 0])}
    draws = {"zero": np.zeros((4, 9)), "k": np.repeat([[0], [1], [1], [1]], 9, axis=1)}
    found = measure_contraction(truths, draws)
    assert np.isnan(found.mean_z["zero"])
    assert found.z_scores["k"].tolist() == [0, 0, 0, np.inf]
    assert found.mean_contraction["k"] == 1
    assert found.unmoved == []


def test_places_of_all_at_once():
    made = simulate_normals(count=300, dim=3)
    truths, draws = {"theta": made.truths, "x": made.data}, {"theta": made.draws}
    found = Calibration.from_draws(truths, draws, dims={"theta": ("site",)})
    below = (made.draws < made.truths[:, None]).sum(1)
    assert ((below / 100 <= found.pit["theta"]) & (found.pit["theta"] <= (below + 1) / 100)).all()
    assert found.ok
    assert found.to_datatree()["prior_sbc"]["theta"].dims == ("chain", "draw", "site")
    for wrong in WRONG.values():
        made = simulate_normals(count=300, **wrong)
        assert not Calibration.from_draws({"theta": made.truths}, {"theta": made.draws}).ok


def draw_in_arviz(tree, name):
    """How far the curve that ArviZ draws leaves zero."""
    viz = arviz_plots.plot_ecdf_pit(tree, backend="matplotlib").viz
    line = viz["ecdf_lines"][name].item()
    return np.abs(line.get_ydata()).max()


def test_a_bad_calibration_shows_in_arviz():
    band = stats.kstwo.ppf(0.99, 200)
    for wrong in [{}, WRONG["narrow"], WRONG["wide"]]:
        made = simulate_normals(count=200, dim=1, **wrong)
        found = Calibration.from_draws({"mu": made.truths[:, 0]}, {"mu": made.draws[..., 0]})
        assert (draw_in_arviz(found.to_datatree(), "mu") > band) == bool(wrong)
    assert draw_in_arviz(by_density(made).to_datatree(), "level") > band


def test_low_ranks_do_not_look_right():
    # Ranks 0 to 50 of 100: divided by the largest one that occurs they would be uniform.
    ranks = np.arange(204) % 51
    draws = np.tile(np.arange(100.0), (204, 1))
    found = Calibration.from_draws({"mu": ranks - 0.5}, {"mu": draws})
    tree = found.to_datatree()
    assert float(tree["prior_sbc"]["mu"].min()) > 0
    assert 0.45 < float(tree["prior_sbc"]["mu"].max()) < 0.51
    assert not found.ok
    assert measure_interval_coverage(found, "mu", central=False).largest_gap > 0.4
    assert measure_interval_coverage(found, "mu").ok
    # ArviZ 0.8 stretches the axis up to the largest place.
    assert (draw_in_arviz(tree, "mu") > 0.4) == (Version(arviz_plots.__version__) >= Version("1"))


def test_the_pictures_show_the_numbers():
    found = by_density(simulate_normals(scale=0.6))
    ax = plot_expected_coverage(found, color="black")
    curve = {line.get_label(): line for line in ax.get_lines()}["200 simulations"]
    assert curve.get_ydata().min() == pytest.approx(found.largest_gap)
    assert curve.get_color() == "black"
    assert ax.get_title(loc="left").startswith("overconfident")
    _, ax = plt.subplots()
    assert plot_expected_coverage(by_random_points(simulate_normals()), ax) is ax
    assert ax.get_xlabel() == "level of regions about random points"
    far = Contraction({"mu": np.array([0.5, 80.0])}, {"mu": np.array([0.9, -30.0])})
    ax = plot_contraction(far, "mu")
    points = {line.get_label(): line for line in ax.get_lines()}
    assert points["2 simulations"].get_xydata().tolist() == [[0.9, 0.5]]
    assert points["1 beyond the axes"].get_xydata().tolist() == [[-1.0, 5.0]]
    constant = {"zero": np.full(2, np.nan)}
    with pytest.raises(ValueError, match="'zero' is constant"):
        plot_contraction(Contraction(constant, constant), "zero")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: measure_expected_coverage(m.log_q_truth, m.log_q_draws.T), "expected .simul"),
        (lambda m: measure_expected_coverage(m.log_q_truth * np.nan, m.log_q_draws), "is NaN"),
        (lambda m: ExpectedCoverage(np.array([0.5]), 9), "1 simulations tell nothing"),
        (lambda m: measure_tarp(m.truths[:, 0], m.draws[..., 0]), r"reshape\(len\(truths\), -1"),
        (lambda m: measure_tarp(m.truths, m.draws, references=m.data[:, :1]), "one point for"),
        (lambda m: measure_contraction({"a": m.truths}, {"b": m.draws}), "nothing in common"),
        (lambda m: measure_contraction({"a": m.truths}, {"a": m.draws[:, :1]}), "needs two"),
        (lambda m: measure_contraction({"a": m.truths}, {"a": m.draws}).find_element("b"),
         r"element = 'b'; expected one of \['a\[0\]'"),
        (lambda m: Calibration.from_draws({"a": m.truths}, {"a": np.moveaxis(m.draws, 1, 0)}),
         r"np.moveaxis\(draws, 0, 1\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(simulate_normals())
