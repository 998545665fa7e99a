"""The shape of data: what would broadcast is refused, what the host means is scored."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from ppl_ext.pyro import fit, trace_density


def in_plate(y):
    loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    with pyro.plate("row", 4):
        pyro.sample("y", dist.Normal(loc, 1.0), obs=y)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (torch.zeros(4, 1), ["'row' of size 4", "(4, 1)", "(4,)", "squeeze(-1)"]),
        (torch.zeros(1, 4), ["squeeze(-2)", "to_event(1)"]),
        (torch.tensor(0.0), ["expand((4,))"]),
    ],
)
def test_what_would_broadcast_is_refused(y, words):
    with pytest.raises(ValueError, match="trace_density: observed site 'y'") as error:
        trace_density(in_plate, y)
    for word in words:
        assert word in str(error.value)


def test_a_homogeneous_chain_of_the_host_takes_data_of_any_length():
    def model(y):
        stay = pyro.sample("stay", dist.Beta(2.0, 2.0))
        rows = torch.stack([torch.stack([stay, 1 - stay]), torch.stack([1 - stay, stay])])
        emission = dist.Normal(torch.tensor([-1.0, 1.0]), 1.0)
        pyro.sample("y", dist.DiscreteHMM(torch.zeros(2), rows.log(), emission), obs=y)

    assert np.isfinite(trace_density(model, torch.tensor([0.3, -1.0, 0.5])).log_p([[0.0]])[0])


def test_predictions_have_the_shape_of_data_that_share_a_distribution():
    def model(y):
        mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        pyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    fitted = fit(model, torch.arange(4.0), climb=False)
    draws = fitted.draws(4000, posterior_predictive=True, seed=1)
    predicted = draws.posterior_predictive["y"]
    assert predicted.shape == (4000, 4)
    # The data share mu, whose variance is 1 / 4, and nothing else.
    assert np.cov(predicted.T)[0, 1] == pytest.approx(0.25, abs=0.05)
