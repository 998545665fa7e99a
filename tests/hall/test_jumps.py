"""Jumps that a gradient does not see are found, and kinks, steep sides and rounding are not."""

import numpy as np
import pytest
from scipy import special, stats

from ppl_ext.diagnostics import Gaussian
from ppl_ext.diagnostics.jumps import find_jumps
from tests.hall.targets import gaussian, make_density, mixture


def search(density, sd=1.0, seed=0):
    dim = density.dim
    return find_jumps(
        density, Gaussian(np.zeros(dim), np.full(dim, sd)), np.random.default_rng(seed)
    )


def laplace(z):
    return -np.abs(z).sum(1), -np.sign(z)


def steep(z):
    """A fifth power in every coordinate: far from quadratic, and smooth."""
    return -(z**6).sum(1), -6 * z**5


def edged(z):
    inside = z[:, 0] > 0
    return np.where(inside, -z.sum(1), -np.inf), np.where(inside[:, None], -1.0, np.nan)


@pytest.mark.parametrize(
    "density",
    [
        gaussian([1.0, -1.0], [[2.0, 0.9], [0.9, 2.0]]),
        mixture([[-3.0], [3.0]], [0.5, 0.5]),
        make_density(3, laplace),
        make_density(2, steep),
        make_density(1, edged),
    ],
    ids=["normal", "mixture", "laplace", "steep", "edged"],
)
def test_smooth_kinked_and_bounded_densities_do_not_jump(density):
    assert not any(search(density, seed=seed) for seed in range(20))


def test_rounding_is_no_jump():
    def rounded(z):
        log_p = (1e6 + stats.norm.logpdf(z[:, 0])).astype(np.float32).astype(float)
        return log_p, -z

    assert not any(search(make_density(1, rounded, np.float32), seed=seed) for seed in range(20))


@pytest.mark.parametrize("height", [0.3, 2.0])
def test_steps_are_measured(height):
    def stepped(z):
        return stats.norm.logpdf(z).sum(1) + height * np.floor(3 * z[:, 1]), -z

    for seed in range(10):
        found = search(make_density(2, stepped), seed=seed)
        assert found.size == pytest.approx(height, rel=0.01)
        assert 0 < found.share < 1
        assert "'z'" in str(found)


def counts_of_a_million(dtype):
    """A Poisson count of 1.2 million, and the logarithm of its rate as it is off the best."""
    count = np.asarray(1_200_345.0, dtype)
    constant = special.gammaln(count).astype(dtype)

    def log_density(z):
        log_rate = (np.log(1_200_345.0) + z[:, 0]).astype(dtype)
        log_p = count * log_rate - np.exp(log_rate) - constant
        return log_p.astype(float), (count - np.exp(log_rate)).astype(float)[:, None]

    return make_density(1, log_density, dtype)


def test_terms_that_cancel_are_told_from_steps():
    sd = 1_200_345.0**-0.5
    for seed in range(10):
        found = search(counts_of_a_million(np.float32), sd, seed)
        assert found.precision == "float32"
        assert 0.1 < found.size < 4  # log densities of 1.6e7 in units of 1 or 2
        assert search(counts_of_a_million(np.float64), sd, seed) is None


def test_steps_are_not_taken_for_rounding():
    def stepped(z):
        return stats.norm.logpdf(z).sum(1) + 0.5 * np.floor(3 * z[:, 0]), -z

    assert all(search(make_density(1, stepped), seed=seed).precision == "" for seed in range(10))
