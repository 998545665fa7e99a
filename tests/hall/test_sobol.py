"""Sobol points against those of SciPy, and what scrambling has to leave as it was."""

import numpy as np
import pytest
from scipy.stats import qmc

from ppl_ext.gaussian_vi.sobol import MOST_DIMENSIONS, draw_sobol
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal


@pytest.mark.parametrize(("num_points", "dim"), [(1, 1), (2, 3), (1024, MOST_DIMENSIONS)])
def test_the_points_are_those_of_scipy(num_points, dim):
    theirs = qmc.Sobol(dim, scramble=False).random(num_points)
    ours = draw_sobol(num_points, dim, None)
    # SciPy runs through them in Gray code's order.
    order = np.arange(num_points) ^ (np.arange(num_points) >> 1)
    np.testing.assert_array_equal(ours[order], theirs)


@pytest.mark.parametrize("seed", range(3))
def test_scrambled_points_keep_their_strata(seed):
    points = draw_sobol(256, 40, np.random.default_rng(seed))
    assert ((points >= 0) & (points < 1)).all()
    for column in points.T:
        np.testing.assert_array_equal(np.sort(np.floor(256 * column)), np.arange(256))
    # The first two dimensions are a net: every box of area 1/256 holds one point.
    for wide in range(9):
        boxes = np.floor(points[:, :2] * [2**wide, 2 ** (8 - wide)])
        assert len(np.unique(boxes, axis=0)) == 256


def test_scrambled_points_are_uniform():
    rng = np.random.default_rng(0)
    first = np.array([draw_sobol(4, 3, rng)[0] for _ in range(4000)])
    assert np.allclose(first.mean(0), 0.5, atol=5 * np.sqrt(1 / 12 / 4000))
    assert np.allclose(first.var(0), 1 / 12, rtol=0.1)


def test_scrambled_averages_are_as_exact_as_scipys():
    def error(draw):
        averages = [np.prod(1 + (draw(seed) - 0.5), axis=1).mean() for seed in range(50)]
        return np.sqrt(np.mean((np.array(averages) - 1) ** 2))

    ours = error(lambda seed: draw_sobol(1024, 5, np.random.default_rng(seed)))
    theirs = error(lambda seed: qmc.Sobol(5, rng=np.random.default_rng(seed)).random(1024))
    assert ours < 1.5 * theirs


@pytest.mark.parametrize("dim", [MOST_DIMENSIONS, MOST_DIMENSIONS + 1])
def test_beyond_the_direction_numbers_scipys_are_taken(dim):
    half = draw_standard_normal(512, dim, seed=0)
    assert half.shape == (512, dim)
    assert np.allclose(half.T @ half / 512, np.eye(dim))
