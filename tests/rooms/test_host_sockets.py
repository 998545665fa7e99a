"""The host's own sampler and its results as ArviZ data."""

import numpy as np

from tests.oracles import regression as truth


def test_nuts_has_the_layout_of_a_fit(host, linear, full_rank):
    mcmc = host.run_nuts(linear.model, 300, linear.x, y=linear.y)
    nuts = host.room.from_mcmc(mcmc)
    fit = host.random(full_rank.draws, 300).to_datatree()
    assert nuts["posterior"]["b"].dims == fit["posterior"]["b"].dims
    b = nuts["posterior"]["b"]
    assert np.all(np.abs(b.mean(("chain", "draw")) - truth.MEAN) < 0.5 * truth.SD)
