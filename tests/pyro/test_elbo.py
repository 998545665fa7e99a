"""Stick-the-landing: the same bound, a gradient without noise at the posterior."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoIAFNormal, AutoNormalizingFlow, AutoNormalMessenger
from torch import nn

from ppl_ext.pyro import check_densities
from ppl_ext.pyro.guides import AutoFullRank, AutoMeanField
from ppl_ext.pyro.objectives.stick_the_landing import StickTheLanding


def target():
    pyro.sample("x", dist.Normal(torch.tensor([0.0, 1.0]), 2.0).to_event(1))
    with pyro.plate("p", 2):
        pyro.sample("s", dist.LogNormal(0.5, 0.5))


MEAN, SD = np.array([0, 1, 0.5, 0.5]), np.array([2, 2, 0.5, 0.5])


def gradients(elbo, guide):
    guide.zero_grad()
    elbo.loss_and_grads(target, guide)
    return torch.cat([p.grad.reshape(-1) for p in guide.parameters()])


@pytest.mark.parametrize("particles", [1, 4])
@pytest.mark.parametrize("vectorised", [True, False])
def test_zero_for_every_draw_at_the_posterior(particles, vectorised):
    guide = AutoMeanField(target).setup()
    guide.set_gaussian(MEAN, SD)
    elbo = StickTheLanding(particles, vectorize_particles=vectorised)
    for _ in range(5):
        # Not exact zeros: the Jacobian of exp and the log of LogNormal round differently.
        assert gradients(elbo, guide).abs().max() < 1e-6
        assert gradients(Trace_ELBO(particles), guide).abs().max() > 0.01


def test_exactly_zero_where_no_rounding_differs():
    def model():
        pyro.sample("x", dist.Normal(torch.tensor([0.0, 1.0]), 2.0).to_event(1))

    guide = AutoMeanField(model).setup()
    with torch.no_grad():
        guide.set_gaussian([0.0, 1.0], guide.gaussian()[1])
    scale = guide.gaussian()[1]

    def same():
        loc = torch.tensor([0.0, 1.0])
        pyro.sample("x", dist.Normal(loc, torch.tensor(scale).float()).to_event(1))

    for _ in range(5):
        guide.zero_grad()
        StickTheLanding().loss_and_grads(same, guide)
        assert all((p.grad == 0).all() for p in guide.parameters())


def test_full_rank_is_zero_up_to_rounding():
    guide = AutoFullRank(target).setup()
    guide.set_gaussian(MEAN, np.diag(SD))
    for _ in range(5):
        assert gradients(StickTheLanding(), guide).abs().max() < 1e-5


def test_same_value_as_trace_elbo_draw_by_draw():
    guide = AutoMeanField(target).setup()
    losses = []
    for elbo in (StickTheLanding(), Trace_ELBO()):
        for method in (elbo.loss, elbo.loss_and_grads, elbo.differentiable_loss):
            torch.manual_seed(1)
            losses.append(float(torch.as_tensor(method(target, guide)).detach()))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


def test_same_gradient_on_average():
    """z-test of 400 paired differences; four standard errors fail once in 10,000 runs each."""
    guide = AutoMeanField(target).setup()
    guide.set_gaussian(MEAN + 0.5, 1.5 * SD)
    ours = torch.stack([gradients(StickTheLanding(), guide) for _ in range(400)])
    hosts = torch.stack([gradients(Trace_ELBO(), guide) for _ in range(400)])
    error = ((ours.var(0) + hosts.var(0)) / 400).sqrt()
    assert ((ours.mean(0) - hosts.mean(0)).abs() < 4 * error).all()


def test_hierarchical_guides_keep_the_path_through_earlier_sites():
    """q(b | a) = N(a, s): the path gradient through a is kept, the score of s left out."""

    def model():
        a = pyro.sample("a", dist.Normal(0.0, 1.0))
        pyro.sample("b", dist.Normal(a, 1.0))

    def guide():
        m = pyro.param("m", torch.tensor(0.0))
        a = pyro.sample("a", dist.Normal(m, 1.0))
        pyro.sample("b", dist.Normal(a, pyro.param("s", torch.tensor(1.0))))

    loss = StickTheLanding().differentiable_loss(model, guide)
    loss.backward()
    assert all(p.unconstrained().grad == 0 for p in pyro.get_param_store().values())


def test_weights_of_a_network_are_held_fixed():
    net = nn.Linear(1, 1)
    with torch.no_grad():
        net.weight.zero_()
        net.bias.fill_(1.0)

    def model():
        pyro.sample("x", dist.Normal(torch.ones(1), 1.0).to_event(1))

    def guide():
        pyro.module("net", net)
        pyro.sample("x", dist.Normal(net(torch.ones(1)), 1.0).to_event(1))

    StickTheLanding().loss_and_grads(model, guide)
    assert net.bias.grad == 0
    assert net.weight.grad == 0
    assert net.weight.requires_grad


def test_flows_lose_their_cached_inverse():
    """The mean gradient equals the host's; a cached inverse would drop a term of it."""

    def model():
        pyro.sample("x", dist.Normal(torch.zeros(2), 0.5).to_event(1))

    guide = AutoIAFNormal(model, hidden_dim=[4], num_transforms=1)
    guide()
    rows = {StickTheLanding: [], Trace_ELBO: []}
    for elbo, out in rows.items():
        for _ in range(300):
            guide.zero_grad()
            elbo().loss_and_grads(model, guide)
            out.append(torch.cat([p.grad.reshape(-1) for p in guide.parameters()]))
    ours, hosts = (torch.stack(row) for row in rows.values())
    error = ((ours.var(0) + hosts.var(0)) / 300).sqrt() + 1e-6
    assert ((ours.mean(0) - hosts.mean(0)).abs() < 4.5 * error).all()


def test_refusals():
    def coin():
        pyro.sample("kind", dist.Bernoulli(0.5))

    with pytest.raises(ValueError, match=r"'kind' \(Bernoulli\) has no reparameterised"):
        StickTheLanding().loss(coin, coin)
    with pytest.raises(ValueError, match="AutoNormalMessenger"):
        StickTheLanding().loss(target, AutoNormalMessenger(target))

    guide = AutoNormalizingFlow(target, dist.transforms.planar)
    with pytest.raises(ValueError, match="without an inverse"):
        StickTheLanding().loss(target, guide)


def test_training_reaches_the_posterior():
    guide = AutoMeanField(target)
    svi = SVI(target, guide, pyro.optim.Adam({"lr": 0.05}), StickTheLanding())
    for _ in range(400):
        svi.step()
    loc, scale = guide.gaussian()
    np.testing.assert_allclose(loc, MEAN, atol=0.1)
    np.testing.assert_allclose(scale, SD, rtol=0.1)


def test_a_look_at_the_densities_begins_no_parameters():
    """They may begin at random, and have to do so in training."""

    def guide():
        loc = pyro.param("loc", lambda: torch.randn(2))
        scale = pyro.param("scale", torch.ones(2))
        pyro.sample("x", dist.Normal(loc, scale).to_event(1))
        with pyro.plate("p", 2):
            pyro.sample("s", dist.LogNormal(0.0, 1.0))

    store = pyro.get_param_store()
    with store.scope():
        kept = pyro.param("scale", torch.full((2,), 3.0)).unconstrained()
        assert check_densities(target, guide) == ()
        assert list(store) == ["scale"]
        assert store.get_param("scale").unconstrained() is kept
