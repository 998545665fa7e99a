"""Masked data are NaN in the tree and no rows in leave-one-out."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from numpyro import handlers

from ppl_ext.draws import estimate_loo
from ppl_ext.numpyro import fit, from_mcmc, trace_density

RNG = np.random.default_rng(2)
FULL = RNG.normal(size=20)
GAPS = np.where(np.arange(20) % 4 == 0, np.nan, FULL)
PRESENT = ~np.isnan(GAPS)


def masked(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", len(y)), handlers.mask(mask=jnp.isfinite(y)):
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=jnp.nan_to_num(y))


def nan_under_a_mask(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", len(y)), handlers.mask(mask=jnp.isfinite(y)):
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def imputing(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.LogNormal(mu, 1.0), obs=y, obs_mask=jnp.isfinite(y))


def counts(y, present):
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    numpyro.sample("y", dist.Poisson(rate).expand(y.shape).mask(present).to_event(1), obs=y)


@pytest.fixture(scope="module")
def gaps():
    fitted = fit(jax.random.key(0), masked, GAPS, climb=False, progress_bar=False)
    return fitted.draws(jax.random.key(1), 4000)


@pytest.fixture(scope="module")
def rest():
    fitted = fit(jax.random.key(0), masked, GAPS[PRESENT], climb=False, progress_bar=False)
    return fitted.draws(jax.random.key(1), 4000)


def test_what_is_masked_is_nan_in_the_tree(gaps):
    np.testing.assert_allclose(gaps.observed["y"], GAPS, rtol=1e-6)
    tree = gaps.to_datatree()
    np.testing.assert_allclose(tree["observed_data"]["y"], GAPS, rtol=1e-6)
    missing = np.isnan(tree["log_likelihood"]["y"].values)
    assert (missing == ~PRESENT).all()


def test_leave_one_out_counts_what_is_there(gaps, rest):
    loo, expected = estimate_loo(gaps), estimate_loo(rest)
    assert loo.n_data_points == expected.n_data_points == 15
    assert loo.elpd == pytest.approx(expected.elpd, abs=0.05)
    assert loo.se == pytest.approx(expected.se, rel=0.02)


def test_an_event_is_missing_where_all_of_it_is():
    y, present = np.array([1, 2, 0]), np.array([True, True, False])
    draws = fit(jax.random.key(0), counts, y, present, climb=False, progress_bar=False).draws(
        jax.random.key(1)
    )
    np.testing.assert_array_equal(draws.observed["y"], [1.0, 2.0, np.nan])
    assert np.isfinite(draws.log_likelihood["y"]).all()


def test_draws_of_the_hosts_mcmc_say_what_is_missing():
    kernel = numpyro.infer.NUTS(masked)
    mcmc = numpyro.infer.MCMC(kernel, num_warmup=100, num_samples=200, progress_bar=False)
    mcmc.run(jax.random.key(0), GAPS)
    tree = from_mcmc(mcmc)
    np.testing.assert_allclose(tree["observed_data"]["y"], GAPS, rtol=1e-6)
    assert np.isnan(tree["log_likelihood"]["y"].values).sum() == 5 * 200


def test_nan_under_a_mask_need_not_be_filled():
    z = np.array([[0.3], [-1.0]])
    densities = [trace_density(model, GAPS) for model in (masked, nan_under_a_mask)]
    values, gradients = zip(*(density.log_density(z) for density in densities), strict=True)
    np.testing.assert_allclose(*values, rtol=1e-6)
    np.testing.assert_allclose(*gradients, rtol=1e-6)


def test_imputed_entries_are_standard_normal_where_there_are_data():
    density = trace_density(imputing, np.exp(GAPS))
    z = RNG.normal(size=(3, 21))
    normal = scipy.stats.norm
    expected = (
        normal.logpdf(z[:, 0], 0.0, 10.0)
        + (normal.logpdf(FULL, z[:, :1]) - FULL)[:, PRESENT].sum(1)
        + normal.logpdf(z[:, 1:], z[:, :1])[:, ~PRESENT].sum(1)
        + normal.logpdf(z[:, 1:])[:, PRESENT].sum(1)
    )
    np.testing.assert_allclose(density.log_p(z), expected, rtol=1e-5)


def test_missing_data_come_out_as_draws():
    fitted = fit(jax.random.key(0), imputing, np.exp(GAPS), climb=False, progress_bar=False)
    report = fitted.report()
    assert report.khat < 0.3
    assert report.elbo == pytest.approx(report.details.log_evidence, abs=1e-3)
    draws = fitted.draws(jax.random.key(1), 8000)
    mean = FULL[PRESENT].sum() / (15 + 0.01)
    assert draws.values["mu"].mean() == pytest.approx(mean, abs=0.02)
    imputed = np.log(draws.values["y"])
    np.testing.assert_allclose(imputed[:, PRESENT].mean(0), FULL[PRESENT], rtol=1e-4)
    np.testing.assert_allclose(imputed[:, ~PRESENT].mean(0), mean, atol=0.06)
    np.testing.assert_allclose(imputed[:, ~PRESENT].std(0), np.sqrt(1 + 1 / 15), rtol=0.04)
    np.testing.assert_allclose(draws.observed["y_observed"], np.exp(GAPS), rtol=1e-5)
