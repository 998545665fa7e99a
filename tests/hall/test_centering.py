"""The choice of coordinates on a density written in NumPy: Neal's funnel, with data or without."""

import numpy as np
import pytest

from ppl_ext.density import Density, Site
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi import solve_full_rank
from ppl_ext.gaussian_vi.centering import Form, choose_centering
from ppl_ext.gaussian_vi.location_scale import LocationScale, PartialCentering

ROWS = 4
CENTRED = PartialCentering(np.ones(ROWS), np.ones(ROWS))


def funnel(information, centering=CENTRED):
    """``v ~ N(0, 1), x ~ N(0, e^v)``, and data at zero of some precision about every ``x``."""
    degree, unit = centering

    def log_density(z):
        v, w = z[:, :1], z[:, 1:]
        log_ratio = (1 - degree) * (v - np.log(unit))
        x = np.exp(log_ratio) * w
        precision = np.exp(-2 * v) + information
        log_p = -0.5 * v[:, 0] ** 2 + (-0.5 * precision * x**2 - v + log_ratio).sum(1)
        by_w = -precision * x * np.exp(log_ratio)
        by_v = -v[:, 0] + (
            np.exp(-2 * v) * x**2 - precision * x**2 * (1 - degree) - 1 + 1 - degree
        ).sum(1)
        return log_p, np.concatenate([by_v[:, None], by_w], axis=1)

    density = Density(
        dim=1 + ROWS,
        sites=(Site("v", (), 0, 1), Site("x", (ROWS,), 1, 1 + ROWS)),
        log_density=log_density,
        log_p=lambda z: log_density(z)[0],
        constrain=lambda z: {"v": z[:, 0], "x": z[:, 1:]},
        explain=lambda z: "",
    )

    def look(z):
        scale = np.exp(z[:, :1]) * np.ones(ROWS)
        return {"x": LocationScale(1, 1 + ROWS, np.zeros_like(scale), scale)}

    return Form(density, look)


def choose(information):
    written = funnel(information)
    solution = solve_full_rank(written.density, Deterministic(error_tolerance=0.1))
    chosen = choose_centering(written, solution, lambda sites: funnel(information, sites["x"]))
    return chosen.get("x", CENTRED)


def test_without_data_the_coordinates_are_non_centred():
    np.testing.assert_allclose(choose(np.zeros(ROWS)).degree, 0.0, atol=1e-6)


def test_the_degree_is_the_share_of_the_data_in_the_precision():
    information = np.array([0.0, 0.5, 2.0, 8.0])
    degree, unit = choose(information)
    expected = information / (information + unit**-2.0)
    np.testing.assert_allclose(degree, expected, atol=1e-6)


def test_strong_data_leave_the_coordinates():
    assert choose(np.full(ROWS, 1e4)) is CENTRED


def test_a_prior_that_nothing_moves_is_no_candidate():
    written = funnel(np.ones(ROWS))
    solution = solve_full_rank(written.density)
    fixed = LocationScale(1, 1 + ROWS, np.zeros((256, ROWS)), np.ones((256, ROWS)))
    form = Form(written.density, lambda z: {"x": fixed})
    assert choose_centering(form, solution, lambda sites: pytest.fail("asked")) == {}


def test_an_interruption_leaves_the_choice():
    written = funnel(np.zeros(ROWS))
    solution = solve_full_rank(written.density, Deterministic(error_tolerance=0.1))

    def interrupt(z):
        raise KeyboardInterrupt

    def recentre(sites):
        form = funnel(np.zeros(ROWS), sites["x"])
        return Form(Density(**{**vars(form.density), "log_density": interrupt}), form.look)

    with pytest.raises(KeyboardInterrupt):
        choose_centering(written, solution, recentre)
