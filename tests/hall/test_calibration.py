"""Calibrations against laws known in closed form, and their way to ArviZ."""

import arviz_plots
import numpy as np
import pytest
from scipy import stats

from ppl_ext.calibration import Calibration, PITColumns
from ppl_ext.calibration.simulate_and_fit import Simulation, place_truths
from ppl_ext.calibration.uniformity import measure_departure
from ppl_ext.draws import Draws
from ppl_ext.plots import plot_vsbc


def fit_normals(scale=1.0, shift=0.0, count=200, draws=99, seed=0):
    """A normal mean with one datum, fitted exactly but for a factor and a shift of the draws."""
    rng = np.random.default_rng(seed)

    def simulate(index):
        mu = rng.normal()
        y = rng.normal(mu)
        return Simulation({"mu": np.array(mu)}, {"y": np.array(y)}, stats.norm.logpdf(y, mu))

    def fit(index, simulation):
        y = float(simulation.data["y"])
        mu = y / 2 + np.sqrt(0.5) * (scale * rng.normal(size=draws) + shift)
        likelihood = {"y": stats.norm.logpdf(y, mu)}
        return (
            Draws(
                {"mu": mu},
                log_p=np.zeros(draws),
                log_q=np.zeros(draws),
                log_likelihood=likelihood,
            ),
            "converged",
        )

    return place_truths(simulate, fit, count, rng, dims={}, progress_bar=False)


def test_exact_posteriors_are_calibrated():
    found = [fit_normals(seed=seed) for seed in range(20)]
    assert all(each.ok for each in found)
    # A p-value of a right fit is uniform but for the Bonferroni factor, which makes it larger.
    p_values = [each.departures["mu"].symmetry_p for each in found]
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"scale": 0.5}, "too narrow"),
        ({"scale": 2.0}, "too wide"),
        ({"shift": 0.7}, "too high"),
        ({"shift": -0.7}, "too low"),
    ],
)
def test_wrong_posteriors_are_named(wrong, word):
    found = fit_normals(**wrong)
    assert not found.ok
    assert any(line.startswith("mu") and f" {word}" in line for line in str(found).splitlines()), (
        found
    )


def test_too_narrow_is_symmetric_and_a_shift_is_not():
    assert fit_normals(scale=0.5).departures["mu"].symmetry_p > 0.01
    assert fit_normals(shift=0.7).departures["mu"].symmetry_p < 1e-6


def test_a_prior_in_place_of_the_posterior_is_seen_by_the_likelihood_alone():
    rng = np.random.default_rng(3)

    def simulate(index):
        mu = rng.normal()
        y = rng.normal(mu)
        return Simulation({"mu": np.array(mu)}, {"y": np.array(y)}, stats.norm.logpdf(y, mu))

    def fit(index, simulation):
        mu = rng.normal(size=99)
        likelihood = {"y": stats.norm.logpdf(float(simulation.data["y"]), mu)}
        zeros = np.zeros(99)
        return Draws({"mu": mu}, log_p=zeros, log_q=zeros, log_likelihood=likelihood), "prior"

    found = place_truths(simulate, fit, 200, rng, dims={}, progress_bar=False)
    assert found.departures["mu"].p_value > 0.01
    assert found.departures["log likelihood"].p_value < 1e-6
    assert not found.ok


def test_coverage_of_a_narrow_normal():
    found = fit_normals(scale=0.5, count=4000, draws=399)
    for level in (0.5, 0.9):
        half = stats.norm.ppf(0.5 + level / 2)
        exact = 2 * stats.norm.cdf(0.5 * half) - 1
        assert found.measure_coverage(level)["mu"] == pytest.approx(exact, abs=0.035)


def test_ties_of_discrete_sites_are_uniform():
    rng = np.random.default_rng(0)
    columns = PITColumns(rng)
    for _ in range(2000):
        columns.add({"k": rng.poisson(2.0)}, {"k": rng.poisson(2.0, size=49)})
    assert stats.kstest(columns.stack()["k"], "uniform").pvalue > 0.001


def test_departures_have_the_laws_they_claim():
    rng = np.random.default_rng(0)
    found = [measure_departure(rng.uniform(size=30)) for _ in range(2000)]
    for name in ("bias_p", "spread_p", "shape_p", "symmetry_p"):
        p_values = np.array([getattr(each, name) for each in found])
        rejected = (p_values < 0.05).mean()
        assert 0.03 < rejected < 0.07, name


def test_it_goes_to_arviz():
    rng = np.random.default_rng(0)
    found = Calibration(
        {"theta": rng.uniform(size=(50, 3)), "mu": rng.uniform(size=50)},
        num_draws=99,
        dims={"theta": ("school",)},
    )
    tree = found.to_datatree()
    assert dict(tree["prior_sbc"]["theta"].sizes) == {"chain": 1, "draw": 50, "school": 3}
    assert tree.attrs["num_draws"] == 99
    np.testing.assert_array_equal(tree["prior_sbc"]["mu"][0], found.pit["mu"])
    arviz_plots.plot_ecdf_pit(tree, backend="matplotlib")


def test_the_picture_shows_the_counts():
    found = fit_normals(count=100)
    ax = plot_vsbc(found, "mu")
    bars = ax.containers[0]
    expected = np.histogram(found.pit["mu"], bins=len(bars), range=(0, 1))[0]
    np.testing.assert_array_equal([bar.get_height() for bar in bars], expected)
    with pytest.raises(ValueError, match=r"element = 'nu'; expected one of .*'mu'"):
        plot_vsbc(found, "nu")


def test_an_interruption_keeps_what_was_finished():
    rng = np.random.default_rng(0)

    def simulate(index):
        if index == 5:
            raise KeyboardInterrupt
        return Simulation({"mu": rng.normal()}, {}, 0.0)

    def fit(index, simulation):
        zeros = np.zeros(9)
        return Draws({"mu": rng.normal(size=9)}, log_p=zeros, log_q=zeros), "good"

    found = place_truths(simulate, fit, 50, rng, dims={}, progress_bar=False)
    assert found.num_simulations == 5
    assert "interrupted" in str(found)


def test_a_fit_that_fails_tells_which():
    def simulate(index):
        return Simulation({"mu": 0.0}, {}, 0.0)

    def fit(index, simulation):
        raise FloatingPointError("site 'mu' is NaN")

    with pytest.raises(FloatingPointError) as caught:
        place_truths(simulate, fit, 9, np.random.default_rng(0), dims={}, progress_bar=False)
    assert "simulation 0 of 9" in caught.value.__notes__[0]


def test_one_simulation_tells_nothing():
    with pytest.raises(ValueError, match="num_simulations=100"):
        Calibration({"mu": np.array([0.5])}, num_draws=9)
