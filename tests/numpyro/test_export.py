"""ArviZ trees of the host's own SVI and MCMC."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
import scipy.stats
from numpyro import handlers
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoGuideList, AutoLaplaceApproximation, AutoNormal

from ppl_ext.numpyro import AutoFullRank, AutoMeanField, from_mcmc, from_svi
from tests.numpyro.models import X, Y, regression, regression_posterior

QUIET = {"progress_bar": False, "chain_method": "vectorized"}


@pytest.fixture(scope="module")
def svi():
    svi = SVI(regression, AutoNormal(regression), optax.adam(0.02), Trace_ELBO())
    return svi, svi.run(jax.random.key(0), 2000, X, Y, progress_bar=False)


@pytest.fixture(scope="module")
def mcmc():
    mcmc = MCMC(NUTS(regression), num_warmup=200, num_samples=300, num_chains=2, **QUIET)
    mcmc.run(jax.random.key(0), X, y=Y)
    return mcmc


def check_layout(tree, chains, draws):
    posterior = tree["posterior"]
    assert posterior["b"].shape == (chains, draws, 2)
    assert posterior["mean"].shape == (chains, draws, 30)
    assert tree["log_likelihood"]["y"].sizes == {"chain": chains, "draw": draws, "row": 30}
    np.testing.assert_array_equal(tree["observed_data"]["y"], Y.astype(np.float32))
    likelihood = scipy.stats.norm.logpdf(Y, posterior["mean"])
    np.testing.assert_allclose(tree["log_likelihood"]["y"], likelihood, rtol=1e-4, atol=1e-4)
    prior = scipy.stats.norm(0, 2).logpdf(posterior["b"]).sum(-1)
    prior += scipy.stats.norm(0, 3).logpdf(posterior["c"])
    lp = tree["sample_stats"]["lp"]
    np.testing.assert_allclose(lp, prior + likelihood.sum(-1), rtol=1e-4)


def test_from_svi(svi):
    svi, result = svi
    tree = from_svi(jax.random.key(1), svi, result, X, Y, num_draws=400, posterior_predictive=True)
    check_layout(tree, 1, 400)
    assert tree["posterior_predictive"]["y"].shape == (1, 400, 30)
    _, _, log_evidence = regression_posterior()
    log_weights = tree["sample_stats"]["lp"] - tree["sample_stats"]["log_q"]
    assert log_evidence - 2 < float(log_weights.mean()) < log_evidence + 0.1
    for what in (result.params, result.state):
        same = from_svi(jax.random.key(1), svi, what, X, Y, num_draws=400)
        np.testing.assert_array_equal(same["posterior"]["b"], tree["posterior"]["b"])


def test_from_mcmc(mcmc):
    tree = from_mcmc(mcmc)
    check_layout(tree, 2, 300)
    mean, _, _ = regression_posterior()
    assert float(tree["posterior"]["c"].mean()) == pytest.approx(mean[2], abs=0.05)
    assert "diverging" in tree["sample_stats"]
    samples = mcmc.get_samples(group_by_chain=True)
    np.testing.assert_allclose(tree["posterior"]["b"], samples["b"], rtol=1e-6)


def test_the_parts_of_a_host_list_come_out_independent():
    def two():
        numpyro.sample("a", dist.Normal(0, 1))
        numpyro.sample("b", dist.Normal(0, 1))

    guides = AutoGuideList(two)
    guides.append(AutoNormal(handlers.block(two, hide=["b"])))
    guides.append(AutoMeanField(handlers.block(two, hide=["a"])))
    svi = SVI(two, guides, optax.adam(0.1), Trace_ELBO())
    state = svi.init(jax.random.key(0))
    tree = from_svi(jax.random.key(1), svi, state, num_draws=2000)
    a, b = tree["posterior"]["a"].to_numpy(), tree["posterior"]["b"].to_numpy()
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(2000)


def test_refusals():
    def two(y):
        numpyro.sample("a", dist.Normal(0, 1))
        b = numpyro.sample("b", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(b, 1), obs=y)

    def half(y):
        numpyro.sample("a", dist.Normal(numpyro.param("m", 0.0), 1))

    svi = SVI(two, half, optax.adam(0.1), Trace_ELBO())
    with pytest.raises(ValueError, match=r"from_svi: the guide draws the sites \['a'\].*'b'"):
        from_svi(jax.random.key(1), svi, {"m": 0.0}, 1.0)
    with pytest.raises(ValueError, match="from_mcmc: NUTS has not run"):
        from_mcmc(MCMC(NUTS(two), num_warmup=1, num_samples=1))


def test_data_of_another_shape_are_refused_here_too():
    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        with numpyro.plate("row", 3):
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    guide = AutoFullRank(model)
    params = guide.setup(jax.random.key(0), np.ones(3))
    svi = SVI(model, guide, optax.adam(0.05), Trace_ELBO())
    with pytest.raises(ValueError, match=r"^from_svi: .*'y' has shape \(3, 1\).*squeeze"):
        from_svi(jax.random.key(1), svi, params, np.ones((3, 1)))


def test_a_mode_is_not_taken_for_the_gaussian_around_it():
    svi = SVI(regression, AutoLaplaceApproximation(regression), optax.adam(0.05), Trace_ELBO())
    result = svi.run(jax.random.key(0), 5, X, Y, progress_bar=False)
    with pytest.raises(ValueError, match=r"AutoLaplaceApproximation.*guide=AutoFullRank"):
        from_svi(jax.random.key(1), svi, result, X, Y)
