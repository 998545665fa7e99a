"""Both directions of the divergence against quadrature."""

import numpy as np
import pytest
from scipy import optimize, stats

from models.kl_directions.data import GAPS, SCALE, WEIGHT, find_moments

X = np.linspace(-14, 14, 20_001)


def log_target(gap, x=X):
    return np.logaddexp(
        np.log(WEIGHT) + stats.norm.logpdf(x, -gap / 2, 1),
        np.log(1 - WEIGHT) + stats.norm.logpdf(x, gap / 2, SCALE),
    )


def reverse(gap):
    """Mean and sd of the Gaussian nearest in KL(q || p), from either mode."""

    def divergence(parameters):
        log_q = stats.norm.logpdf(X, parameters[0], np.exp(parameters[1]))
        return np.trapezoid(np.exp(log_q) * (log_q - log_target(gap)), X)

    found = [
        optimize.minimize(divergence, [side * gap / 2, 0.0], method="Nelder-Mead", tol=1e-9)
        for side in (-1, 1)
    ]
    best = min(found, key=lambda each: each.fun)
    return best.x[0], np.exp(best.x[1])


@pytest.mark.parametrize("gap", GAPS)
def test_the_moments_are_those_of_the_density(gap):
    density = np.exp(log_target(gap))
    mean = np.trapezoid(X * density, X)
    sd = np.sqrt(np.trapezoid(X**2 * density, X) - mean**2)
    assert find_moments(gap) == pytest.approx((mean, sd), abs=1e-6)


@pytest.mark.parametrize("gap", GAPS[::2])
def test_both_directions_are_the_quadratures(host, worked, gap):
    panel = worked("kl_directions").compare(gap)
    assert panel.reverse == pytest.approx(reverse(gap), abs=0.02)
    mean, sd = find_moments(gap)
    assert panel.forward[0] == pytest.approx(mean, abs=5 * sd / np.sqrt(2000))
    assert panel.forward[1] == pytest.approx(sd, rel=0.06)
    assert panel.verdicts[0] == "good"


def test_the_picture_has_a_panel_for_each_gap(worked):
    pictures = worked("kl_directions")
    panel = pictures.Panel(2.0, (0.0, 1.0), (0.5, 1.0), ("good", "good"))
    figure = pictures.draw_panels([panel, panel])
    assert [ax.get_title() for ax in figure.axes] == ["modes 2 apart"] * 2
    assert all(len(ax.lines) == 2 for ax in figure.axes)
