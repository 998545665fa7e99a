"""The Gaussian GAN: its truths by quadrature, and both players against them."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logit
from scipy.stats import norm

from models.gaussian_gan.data import (
    DATA_LOC,
    DATA_SCALE,
    START_LOC,
    START_SCALE,
    kl_divergence,
    optimal_discriminator,
)


def integrate(function, loc, scale):
    # Beyond eight standard deviations there is nothing left to the eleventh decimal.
    ends = loc - 8 * scale, loc + 8 * scale
    return quad(lambda x: function(x) * norm.pdf(x, loc, scale), *ends, epsabs=1e-10)[0]


def log_odds(x, loc=START_LOC, scale=START_SCALE):
    return logit(optimal_discriminator(x, loc, scale))


def test_the_best_discriminator_is_a_minimum():
    def loss(shift):
        def on(x):
            return log_odds(x) + shift * np.cos(x)

        real = integrate(lambda x: np.logaddexp(0, -on(x)), DATA_LOC, DATA_SCALE)
        return real + integrate(lambda x: np.logaddexp(0, on(x)), START_LOC, START_SCALE)

    assert loss(0) < min(loss(0.1), loss(-0.1))
    assert loss(1e-3) - loss(-1e-3) == pytest.approx(0, abs=1e-8)


def test_the_generator_loss_is_the_divergence_and_so_is_its_gradient():
    found = -integrate(log_odds, START_LOC, START_SCALE)
    assert found == pytest.approx(kl_divergence(START_LOC, START_SCALE), abs=1e-6)
    # Pathwise, with the discriminator held: dx/dloc is 1.
    step = 1e-4
    slope = -integrate(
        lambda x: (log_odds(x + step) - log_odds(x - step)) / (2 * step), START_LOC, START_SCALE
    )
    ends = [kl_divergence(START_LOC + shift, START_SCALE) for shift in (-step, step)]
    assert slope == pytest.approx((ends[1] - ends[0]) / (2 * step), abs=1e-5)


def test_both_players_reach_what_is_known(host, worked):
    at_rest, way = host.random(worked("gaussian_gan").run, 1000)
    assert at_rest.discriminator_error < 0.03
    assert at_rest.loss_error < 0.1
    np.testing.assert_allclose(way[-1], [DATA_LOC, DATA_SCALE], atol=0.1)
