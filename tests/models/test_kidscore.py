"""Kidscore: the regression against SciPy and against its own sufficient statistics."""

import numpy as np
from scipy import stats

from models.kidscore.data import KID_SCORE, MOM_HS, MOM_IQ, REFERENCE

DESIGN = np.stack([np.ones_like(MOM_IQ), MOM_HS, MOM_IQ, MOM_HS * MOM_IQ], axis=-1)


def test_the_data_are_the_published_ones():
    assert KID_SCORE.shape == MOM_HS.shape == MOM_IQ.shape == (434,)
    # Gelman and Hill (2007), section 3.3: kid.score = -11 + 51 mom.hs + 1.1 mom.iq - 0.5 both.
    coefficients = np.linalg.lstsq(DESIGN, KID_SCORE, rcond=None)[0]
    np.testing.assert_allclose(coefficients, [-11.5, 51.3, 0.97, -0.48], rtol=0.01)


def test_the_density_is_that_of_scipy(host, worked):
    data = [host.array(column) for column in (MOM_HS, MOM_IQ, KID_SCORE)]
    density = host.room.trace_density(worked("kidscore").model, *data)
    z = np.random.default_rng(0).normal(size=(5, 5))
    beta, sigma = z[:, :4], np.exp(z[:, 4])
    truth = (
        stats.halfcauchy.logpdf(sigma, scale=2.5)
        + z[:, 4]
        + stats.norm.logpdf(KID_SCORE, beta @ DESIGN.T, sigma[:, None]).sum(-1)
    )
    np.testing.assert_allclose(density.log_p(z), truth, rtol=1e-5)


def test_the_published_posterior_is_the_posterior_of_these_data():
    """With a flat prior the coefficients are Student-t around least squares, whatever sigma."""
    mean = np.linalg.lstsq(DESIGN, KID_SCORE, rcond=None)[0]
    covariance = np.linalg.inv(DESIGN.T @ DESIGN) * REFERENCE.mean["sigma"] ** 2
    assert np.all(np.abs(mean - REFERENCE.mean["beta"]) < 0.04 * REFERENCE.sd["beta"])
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), REFERENCE.sd["beta"], rtol=0.03)
