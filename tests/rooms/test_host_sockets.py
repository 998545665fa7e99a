"""The guides and the ELBO in the host's own ``SVI``, and the host's results as ArviZ data."""

import numpy as np
import pytest

from tests.oracles import regression as truth

LAYOUT = {"posterior", "sample_stats", "log_likelihood", "observed_data"}


@pytest.mark.parametrize("name", ["AutoMeanField", "AutoFullRank"])
def test_guide_and_elbo_in_the_hosts_svi(host, linear, name):
    guide = getattr(host.room, name)(linear.model)
    loss = host.room.StickTheLanding()
    run = host.run_svi(linear.model, guide, loss, 1000, linear.x, y=linear.y)
    tree = host.random(host.room.from_svi, *run, linear.x, y=linear.y, num_draws=2000)
    assert set(tree.children) >= LAYOUT
    b = tree["posterior"]["b"]
    assert b.sizes == {"chain": 1, "draw": 2000, "feature": 3}
    # Adam with a fixed step ends near the optimum, not at it.
    assert np.all(np.abs(b.mean(("chain", "draw")) - truth.MEAN) < 0.5 * truth.SD)
    assert set(tree["sample_stats"].data_vars) >= {"lp", "log_q"}
    assert tree["log_likelihood"]["y"].sizes == {"chain": 1, "draw": 2000, "row": 20}


def test_nuts_has_the_layout_of_a_fit(host, linear, full_rank):
    mcmc = host.run_nuts(linear.model, 300, linear.x, y=linear.y)
    nuts = host.room.from_mcmc(mcmc)
    fit = host.random(full_rank.draws, 300).to_datatree()
    assert nuts["posterior"]["b"].dims == fit["posterior"]["b"].dims
    b = nuts["posterior"]["b"]
    assert np.all(np.abs(b.mean(("chain", "draw")) - truth.MEAN) < 0.5 * truth.SD)
