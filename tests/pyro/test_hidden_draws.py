"""What a model draws out of the fit's sight is refused by name, or drawn anew for every draw."""

import random

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from ppl_ext.pyro import Stochastic, fit, trace_density

Y = torch.tensor([0.5, 1.5])


def mixed(y):
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    z = pyro.sample("z", dist.Bernoulli(0.001))
    pyro.sample("y", dist.Normal(mu + 3.0 * z, 1.0), obs=y)


def jittered(jitter):
    def model(y):
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mu + float(jitter() > 1e6), 1.0), obs=y)

    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (poutine.block(mixed, hide=["z"]), "the hidden site 'z'"),
        (jittered(lambda: torch.randn(())), "numbers of torch's generator"),
        (jittered(np.random.normal), "numbers of np.random"),
        (jittered(random.random), "Python's module random"),
    ],
)
@pytest.mark.parametrize("call", [trace_density, fit])
def test_hidden_draws_are_refused_by_name(call, model, words):
    with pytest.raises(ValueError, match=r"(?s): the model draws .*pyro.sample") as caught:
        call(model, Y)
    assert words in str(caught.value)


def test_what_is_hidden_with_a_value_is_no_draw():
    given = poutine.condition(mixed, data={"z": torch.tensor(1.0)})
    z = np.zeros((1, 1))
    expected = trace_density(given, Y).log_p(z) - np.log(0.001)
    np.testing.assert_allclose(
        trace_density(poutine.block(given, hide=["z"]), Y).log_p(z), expected, rtol=1e-6
    )


def test_a_model_that_seeds_its_numbers_itself_draws_nothing():
    def model(y):
        rows = np.random.RandomState(0).normal()
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mu + rows, 1.0), obs=y)

    assert trace_density(model, Y).dim == 1


def test_a_guide_of_the_users_own_meets_every_step_with_new_draws():
    def model(y):
        mu = pyro.sample("mu", dist.Normal(pyro.param("center", torch.tensor(0.0)), 1.0))
        pyro.deterministic("noise", torch.randn(()))
        pyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    def guide(y):
        pyro.sample("mu", dist.Normal(pyro.param("loc", torch.tensor(0.0)), 0.5))

    settings = Stochastic(max_steps=100)
    fitted = fit(model, Y, guide=guide, optimizer=settings, num_starts=1, progress_bar=False)
    noise = fitted.draws(2000, seed=1).values["noise"]
    assert noise.std() == pytest.approx(1.0, abs=0.1)
