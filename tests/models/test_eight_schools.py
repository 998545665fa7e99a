"""Eight schools: both hierarchies against their densities written with SciPy."""

import numpy as np
from scipy import stats

from models.eight_schools.data import EFFECT, REFERENCE, STANDARD_ERROR


def hierarchy(mu, tau):
    return stats.norm.logpdf(mu, 0, 5) + stats.halfcauchy.logpdf(tau, scale=5)


def test_the_centered_density_is_that_of_scipy(host, worked):
    data = host.array(STANDARD_ERROR), host.array(EFFECT)
    density = host.room.trace_density(worked("eight_schools").centered, *data)
    z = np.random.default_rng(0).normal(size=(5, 10))
    mu, tau, theta = z[:, 0], np.exp(z[:, 1]), z[:, 2:]
    truth = (
        hierarchy(mu, tau)
        + z[:, 1]
        + stats.norm.logpdf(theta, mu[:, None], tau[:, None]).sum(-1)
        + stats.norm.logpdf(EFFECT, theta, STANDARD_ERROR).sum(-1)
    )
    np.testing.assert_allclose(density.log_p(z), truth, rtol=1e-5)


def test_the_noncentered_density_is_that_of_scipy(host, worked):
    data = host.array(STANDARD_ERROR), host.array(EFFECT)
    density = host.room.trace_density(worked("eight_schools").noncentered, *data)
    z = np.random.default_rng(0).normal(size=(5, 10))
    mu, tau, standardised = z[:, 0], np.exp(z[:, 1]), z[:, 2:]
    theta = mu[:, None] + tau[:, None] * standardised
    truth = (
        hierarchy(mu, tau)
        + z[:, 1]
        + stats.norm.logpdf(standardised).sum(-1)
        + stats.norm.logpdf(EFFECT, theta, STANDARD_ERROR).sum(-1)
    )
    np.testing.assert_allclose(density.log_p(z), truth, rtol=1e-5)
    np.testing.assert_allclose(density.constrain(z)["theta"], theta, rtol=1e-5)


def test_the_published_posterior_is_the_posterior_of_these_data():
    """Given mu and tau the effects are Normal, so two dimensions of quadrature are enough."""
    mu, log_tau = np.linspace(-20, 30, 401), np.linspace(-6, 5, 801)
    mu, tau = mu[:, None], np.exp(log_tau)[None]
    spread = tau**2 + STANDARD_ERROR[:, None, None] ** 2
    effect = EFFECT[:, None, None]
    log_p = hierarchy(mu, tau) + np.log(tau)
    log_p = log_p + stats.norm.logpdf(effect, mu, np.sqrt(spread)).sum(0)
    weight = np.exp(log_p - log_p.max())
    weight /= weight.sum()
    pooled = STANDARD_ERROR[:, None, None] ** 2 / spread
    theta = ((pooled * mu + (1 - pooled) * effect) * weight).sum((1, 2))
    # Monte Carlo error of 10,000 reference draws: 0.01 sd each, 0.04 for the worst of ten.
    assert abs((weight * mu).sum() - REFERENCE.mean["mu"]) < 0.04 * REFERENCE.sd["mu"]
    assert abs((weight * tau).sum() - REFERENCE.mean["tau"]) < 0.04 * REFERENCE.sd["tau"]
    assert np.all(np.abs(theta - REFERENCE.mean["theta"]) < 0.04 * REFERENCE.sd["theta"])
