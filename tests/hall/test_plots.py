"""Plots show the right numbers on the axes they are given, and change nothing else."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import integrate, stats

from ppl_ext.draws import Draws
from ppl_ext.fitting import FitLog
from ppl_ext.plots import plot_elbo, plot_khat, plot_marginal_overlay, plot_pair_overlay

plt.switch_backend("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    plt.close("all")
    yield
    plt.close("all")


def draws_of(seed, count=3000, **more):
    rng = np.random.default_rng(seed)
    values = {
        "mu": rng.normal(size=count),
        "tau": np.abs(rng.normal(size=count)),
        "theta": rng.normal(size=(count, 2)),
        **more,
    }
    return Draws(
        values,
        log_p=np.zeros(count),
        log_q=np.zeros(count),
        dims={"theta": ("school",)},
        coords={"school": ["Choate", "Andover"]},
    )


@pytest.fixture(scope="module")
def posteriors():
    return {"NUTS": draws_of(0).to_datatree(), "mean field": draws_of(1), "full rank": draws_of(2)}


@pytest.fixture(scope="module")
def noisy_log():
    steps = np.arange(5000)
    losses = 40 + 1e4 * np.exp(-steps / 50) + np.random.default_rng(0).normal(size=5000)
    return FitLog(losses, "the loss has stopped falling (it moved by 0.1)", True, 1.0,
                  plateaus=(2000, 5000))  # fmt: skip


EVERY_PLOT = {
    "elbo": lambda log, posteriors, ax: plot_elbo(log, ax),
    "khat": lambda log, posteriors, ax: plot_khat(np.random.default_rng(0).normal(size=2000), ax),
    "marginal": lambda log, posteriors, ax: plot_marginal_overlay(posteriors, ax, site="tau"),
}


@pytest.mark.parametrize("name", EVERY_PLOT)
def test_plots_use_the_axes_they_are_given_and_show_nothing(
    name, noisy_log, posteriors, monkeypatch
):
    monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("a plot was shown"))
    before = dict(plt.rcParams)
    _, ax = plt.subplots()
    assert EVERY_PLOT[name](noisy_log, posteriors, ax) is ax
    assert len(plt.get_fignums()) == 1
    new = EVERY_PLOT[name](noisy_log, posteriors, None)
    assert new is not ax
    assert dict(plt.rcParams) == before
    for axes in (ax, new):
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_legend() is not None
        axes.figure.canvas.draw()


def test_elbo_shows_mean_plateaus_and_end(noisy_log):
    ax = plot_elbo(noisy_log, color="black")
    labels = {line.get_label(): line for line in ax.get_lines()}
    mean = labels["mean of 51 steps"]
    np.testing.assert_allclose(mean.get_ydata()[-100:], -40, atol=0.6)
    assert mean.get_color() == "black"
    assert labels["plateau"].get_xdata()[0] == 2000
    end = next(name for name in labels if name.startswith("end: the loss has stopped falling"))
    assert labels[end].get_xdata()[0] == 5000
    # The first steps, 10,000 nats below, do not flatten the rest.
    assert ax.get_ylim()[0] > -60
    assert any("starts at \N{MINUS SIGN}10,0" in text.get_text() for text in ax.texts)


def test_elbo_of_a_short_trace_shows_every_step():
    losses = np.array([4000.0, 120.0, 44.0, 33.0, 31.7, 31.6])
    ax = plot_elbo(FitLog(losses, "converged", True, 0.1))
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), -losses)
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), np.arange(1, 7))


@pytest.mark.parametrize("losses", [[3.0], [3.0, 3.0], [0.0] * 500])
def test_elbo_of_flat_traces(losses):
    ax = plot_elbo(FitLog(np.array(losses), "converged", True, 0.1))
    low, high = ax.get_ylim()
    assert low < -losses[0] < high


def test_elbo_without_steps_is_refused():
    with pytest.raises(ValueError, match="plot_elbo: the log has no steps"):
        plot_elbo(FitLog(np.empty(0), "interrupted", False, 0.0))


def test_khat_draws_the_survival_function_and_the_fitted_tail():
    weights = stats.genpareto.rvs(0.5, size=20_000, random_state=1)
    ax = plot_khat(np.log(weights))
    lines = {line.get_label(): line for line in ax.get_lines()}
    points = lines["20,000 draws"]
    x, fraction = points.get_xdata(), points.get_ydata()
    scaled = weights / weights.mean()
    for i in (0, 10, 400):
        assert fraction[i] == np.mean(scaled >= x[i] * (1 - 1e-12))
    (tail,) = [line for label, line in lines.items() if label.startswith("Pareto tail")]
    # Far out the fitted line falls as the true tail does, to the error of k-hat.
    slope = np.polyfit(np.log(tail.get_xdata()[-50:]), np.log(tail.get_ydata()[-50:]), 1)[0]
    assert slope == pytest.approx(-1 / 0.5, abs=0.4)
    assert "below the limit of 0.7" in ax.get_title(loc="left")
    assert "largest 425 draws" in lines


def test_khat_says_what_is_wrong_and_what_is_perfect():
    heavy = np.log(stats.genpareto.rvs(1.2, size=5000, random_state=1))
    assert "above the limit of 0.7" in plot_khat(heavy).get_title(loc="left")
    assert plot_khat(np.zeros(100)).get_title(loc="left").startswith("all weights are equal")
    huge = 1e5 + heavy
    assert "above" in plot_khat(huge).get_title(loc="left")
    outliers = np.r_[np.zeros(4997), 50.0, 50.0, 50.0]
    assert "no Pareto tail fits" in plot_khat(outliers).get_title(loc="left")
    half_outside = np.where(np.arange(5000) % 2, heavy, -np.inf)
    assert "above" in plot_khat(half_outside).get_title(loc="left")


def test_khat_refuses_resampled_draws():
    with pytest.raises(ValueError, match="these draws follow the posterior"):
        plot_khat(draws_of(0).resample(seed=0))


def test_marginals_are_densities_that_keep_their_bound(posteriors):
    ax = plot_marginal_overlay(posteriors, site="tau", linewidth=3)
    lines = ax.get_lines()
    assert [line.get_label() for line in lines] == ["NUTS", "mean field", "full rank"]
    for line in lines:
        x, density = line.get_xdata(), line.get_ydata()
        assert line.get_linewidth() == 3
        assert integrate.trapezoid(density, x) == pytest.approx(1, abs=0.03)
        # A half-normal has its mode at the bound, where a plain kernel estimate halves it.
        inner = (x > 0.02) & (x < 1.5)
        np.testing.assert_allclose(density[inner], stats.halfnorm.pdf(x[inner]), atol=0.12)
        assert x.min() >= 0


def test_colours_and_dashes_tell_posteriors_apart(posteriors):
    lines = plot_marginal_overlay(posteriors, site="theta[Andover]").get_lines()
    assert len({line.get_color() for line in lines}) == 3
    assert lines[1].get_linestyle() != lines[2].get_linestyle()


def test_heavy_tails_do_not_fill_the_picture():
    rng = np.random.default_rng(0)
    draws = draws_of(0, heavy=rng.standard_cauchy(3000))
    ax = plot_marginal_overlay({"guide": draws}, site="heavy")
    assert ax.get_xlim()[1] < 200


def test_pair_overlay_labels_every_quantity(posteriors):
    axes = plot_pair_overlay(posteriors, sites=["mu", "theta"])
    names = ["mu", "theta[Choate]", "theta[Andover]"]
    assert axes.shape == (3, 3)
    assert [ax.get_xlabel() for ax in axes[-1]] == names
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["", *names[1:]]
    assert not axes[0, 1].get_visible()
    assert axes[1, 0].get_xlim() == axes[0, 0].get_xlim() == axes[2, 0].get_xlim()
    (legend,) = axes[0, 0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(posteriors)


def test_pair_overlay_takes_axes_and_style(posteriors):
    _, axes = plt.subplots(2, 2)
    out = plot_pair_overlay(posteriors, axes, sites=["mu", "tau"], linewidth=2.5, color="black")
    assert out[1, 0] is axes[1, 0]
    with pytest.raises(ValueError, match=r"axes of shape \(2, 2\) for 3 quantities"):
        plot_pair_overlay(posteriors, axes, sites=["mu", "theta"])


def test_sites_of_all_posteriors_are_taken_when_none_are_named():
    data = {"NUTS": draws_of(0, extra=np.arange(3000.0)), "guide": draws_of(1)}
    axes = plot_pair_overlay(data)
    assert [ax.get_xlabel() for ax in axes[-1]] == ["mu", "tau", "theta[Choate]", "theta[Andover]"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: plot_marginal_overlay(data), r"means \['mu', 'tau', .*one quantity"),
        (lambda data: plot_marginal_overlay(data, site="nu"), "means nothing"),
        (lambda data: plot_marginal_overlay({}), "means nothing"),
        (lambda data: plot_pair_overlay({**data, "bare": Draws({}, [0.0], [0.0])}, sites=["mu"]),
         r"'bare' has no \['mu'\]"),
        (lambda data: plot_pair_overlay({"a": draws_of(0, flat=np.ones(3000))}),
         "'flat' of 'a' is constant or not finite"),
        (lambda data: plot_pair_overlay({"a": draws_of(0, wide=np.ones((3000, 9)).cumsum(0))}),
         "13 quantities; expected at most 8"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_by_name(posteriors, call, message):
    with pytest.raises(ValueError, match=message):
        call(posteriors)


def test_importing_the_plots_imports_no_plotting_library():
    code = "import ppl_ext.plots, sys; assert not {'matplotlib', 'xarray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
