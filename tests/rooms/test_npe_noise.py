"""Flows whose noise is a t distribution: their densities, their draws, their files."""

import dataclasses

import numpy as np
import pytest
from scipy import integrate, stats

from ppl_ext.npe.noise import Noise

NOISE = Noise(scale=1.5, df=5.0)


def plain(value):
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


@pytest.fixture(scope="module")
def widened(host):
    """A posterior N(y / 2, 1 / 2), barely trained, with other noise than its own."""

    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    def make():
        return host.room.NPE(model, host.array(np.array(0.0)))

    npe = make()
    settings = host.room.npe.Training(max_epochs=1)
    host.random(npe.train, 1000, settings=settings, progress_bar=False)
    log = dataclasses.replace(npe.trained.log, noise=NOISE)
    npe.trained = dataclasses.replace(npe.trained, log=log)
    if host.name == "pyro":
        npe.trained.network.set_noise(NOISE)
    return npe, make


def test_the_density_has_mass_one_and_is_that_of_the_draws(host, widened):
    posterior = widened[0].posterior(np.array(1.0))
    grid = np.linspace(-60, 60, 20_001)
    density = np.exp(posterior.log_prob({"mu": grid}))
    mass = integrate.cumulative_trapezoid(density, grid, initial=0)
    assert abs(mass[-1] - 1) < 2e-3
    draws = host.random(posterior.sample, 4000)["mu"]
    assert stats.kstest(draws, lambda x: np.interp(x, grid, mass)).pvalue > 1e-3
    # Of a frame that is exact and a flow near the identity: a t distribution about y / 2.
    expected = stats.t(NOISE.df, 0.5, NOISE.scale * np.sqrt(0.5))
    assert stats.kstest(draws, expected.cdf).statistic < 0.08


def test_a_file_keeps_the_noise(widened, tmp_path):
    npe, make = widened
    npe.save(tmp_path / "npe.safetensors")
    other = make().load(tmp_path / "npe.safetensors")
    assert other.trained.log.noise == NOISE
    one, two = (each.posterior(np.array(1.0)).log_prob({"mu": [0.3]}) for each in (npe, other))
    np.testing.assert_array_equal(one, two)


def test_the_host_draws_the_same_density(host, widened):
    npe, _ = widened
    posterior = npe.posterior(host.array(np.array(1.0)))
    sites = [site for site in host.trace(posterior, 0.0).values() if site["type"] == "sample"]
    value = next(site["value"] for site in sites if site["name"] == "mu")
    found = sum(plain(site["fn"].log_prob(site["value"])) for site in sites)
    expected = posterior.log_prob({"mu": plain(value)[None]})[0]
    np.testing.assert_allclose(found, expected, atol=1e-3)
