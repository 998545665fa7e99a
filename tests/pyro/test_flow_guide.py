"""What a flow guide does that no Gaussian does; what all guides do is in ``tests/rooms``."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Predictive, TraceEnum_ELBO, config_enumerate

import ppl_ext.pyro as px
from ppl_ext.pyro.flows import AutoregressiveFlow, CouplingFlow

pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.fixture
def fresh_store():
    with pyro.get_param_store().scope(), torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def banana():
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    pyro.sample("b", dist.Normal(a**2, 0.3))


def placed(model, **options):
    """A guide with a bent flow in a frame."""
    guide = px.AutoFlow(model, **options).setup()
    dim = guide.flow.dim
    guide.set_gaussian(torch.linspace(-0.5, 0.5, dim), 0.7 * torch.eye(dim))
    with torch.no_grad():
        for parameter in guide.flow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return guide


@pytest.mark.parametrize("flow", [None, CouplingFlow(2), AutoregressiveFlow(2)])
def test_density_and_gradient_of_a_draw_are_those_of_the_way_back(flow):
    guide = placed(banana, flow=flow)
    q = guide.get_posterior()
    z = q.rsample((7,))
    leaves = list(guide.flow.parameters())
    remembered, again = q.log_prob(z), guide.get_posterior().log_prob(z.view_as(z))
    torch.testing.assert_close(remembered, again, atol=1e-4, rtol=1e-4)
    for one, other in zip(
        torch.autograd.grad(remembered.sum(), leaves, retain_graph=True),
        torch.autograd.grad(again.sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=2e-3)
    points, log_q = guide.push_noise(torch.zeros(1, 2).numpy())
    found = guide.get_posterior().log_prob(torch.as_tensor(points).float())
    torch.testing.assert_close(found.double(), torch.as_tensor(log_q), atol=1e-4, rtol=1e-4)


def test_one_coordinate():
    def model():
        pyro.sample("x", dist.Exponential(1.0))

    guide = placed(model)
    x = guide.sample_posterior(sample_shape=(3,))["x"]
    assert x.shape == (3,)
    assert (x > 0).all()
    guide.median()


def test_plated_latents_under_enumeration():
    data = torch.tensor([-2.0, -1.9, 2.1, 1.8])

    @config_enumerate
    def model():
        with pyro.plate("part", 2):
            loc = pyro.sample("loc", dist.Normal(torch.tensor([-1.0, 1.0]), 1.0))
        with pyro.plate("row", 4):
            part = pyro.sample("part_of", dist.Categorical(torch.ones(2)))
            pyro.sample("y", dist.Normal(loc[part], 0.5), obs=data)

    guide = px.AutoFlow(pyro.poutine.block(model, hide=["part_of"]))
    elbo = TraceEnum_ELBO(max_plate_nesting=1)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), elbo)
    losses = torch.tensor([svi.step() for _ in range(60)])
    assert losses.isfinite().all()
    assert losses[-20:].median() < losses[:5].median()


def test_predictive_in_parallel_agrees_with_one_by_one():
    guide = placed(banana)
    means = [
        Predictive(banana, guide=guide, num_samples=number, parallel=parallel)()["b"].mean()
        for parallel, number in ((True, 5000), (False, 100))
    ]
    assert abs(means[0] - means[1]) < 0.6


def test_setup_begins_at_the_frame():
    guide = placed(banana)
    before = [parameter.clone() for parameter in guide.flow.parameters()]
    guide.setup()
    assert not all(
        torch.equal(one, other) for one, other in zip(before, guide.flow.parameters(), strict=True)
    )
    e = torch.randn(5, 2)
    torch.testing.assert_close(guide.flow.push(e)[0], e)


def small():
    return CouplingFlow(2, num_layers=2, hidden=(8,))


@pytest.mark.parametrize("make", [lambda: None, small])
def test_state_dict_into_a_fresh_guide(make):
    guide = placed(banana, flow=make())
    fresh = px.AutoFlow(banana, flow=make())
    fresh.load_state_dict(guide.state_dict())
    z = torch.randn(4, 2)
    torch.testing.assert_close(
        fresh.get_posterior().log_prob(z), guide.get_posterior().log_prob(z)
    )


@pytest.mark.parametrize(
    "flow", [CouplingFlow(3), CouplingFlow(2, context_dim=1)], ids=["width", "context"]
)
def test_a_flow_that_does_not_suit_the_model(flow):
    expected = r"AutoFlow: the flow has dim=.*2 latent.*CouplingFlow\(2\)"
    with pytest.raises(ValueError, match=expected):
        px.AutoFlow(banana, flow=flow).setup()
