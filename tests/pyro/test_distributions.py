"""What only PyTorch asks of the distributions: vmap, copies, double backward, enumeration."""

import copy
import pickle

import pyro
import pyro.distributions as dist
import pytest
import torch

import ppl_ext.pyro as px
from tests.oracles.discrete import ROWS

ARGUMENTS = {row.name: row.arguments for row in reversed(ROWS)}


def build(name, dtype=torch.float32):
    arguments = {
        key: value if isinstance(value, int) else torch.as_tensor(value, dtype=dtype)
        for key, value in ARGUMENTS[name].items()
    }
    return getattr(px.distributions, name)(**arguments)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_vmap_over_parameters(name):
    batch = build(name).expand((3,))
    parameters = {key: getattr(batch, key) for key in batch.arg_constraints}
    numbers = {key: value for key, value in ARGUMENTS[name].items() if isinstance(value, int)}
    value = batch.sample()

    def make(parameters):
        return type(batch)(**parameters, **numbers, validate_args=False)

    def log_prob(parameters, value):
        return make(parameters).log_prob(value)

    ours = torch.func.vmap(log_prob)(parameters, value.clone())
    plain = make(parameters).log_prob(value.clone())
    torch.testing.assert_close(ours, plain)

    def draw(parameters):
        made = make(parameters)
        return (made.rsample if made.has_rsample else made.sample)((2,))

    drawn = torch.func.vmap(draw, randomness="different")(parameters)
    assert drawn.shape == (3, 2, *batch.event_shape)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_copies_keep_the_density(name):
    distribution = build(name, torch.float64)
    value = distribution.sample((4,)).clone()
    assert value.dtype == (torch.float64 if distribution.has_rsample else torch.int64)
    for other in (copy.deepcopy(distribution), pickle.loads(pickle.dumps(distribution))):
        torch.testing.assert_close(other.log_prob(value), distribution.log_prob(value))


@pytest.mark.parametrize("name", ["ExpRelaxedOneHotCategorical", "Gumbel"])
def test_gradients_are_those_of_finite_differences(name):
    arguments = {
        key: torch.as_tensor(value, dtype=torch.float64).requires_grad_()
        for key, value in ARGUMENTS[name].items()
    }
    keys = list(arguments)

    def run(*values):
        torch.manual_seed(0)
        distribution = getattr(px.distributions, name)(**dict(zip(keys, values, strict=True)))
        value = distribution.rsample()
        return value, distribution.log_prob(1.0 * value)

    assert torch.autograd.gradcheck(run, tuple(arguments.values()))
    assert torch.autograd.gradgradcheck(run, tuple(arguments.values()))


def test_tails_differentiate():
    x = torch.linspace(-3.0, 20.0, 7, dtype=torch.float64, requires_grad=True)
    gumbel = px.distributions.Gumbel(torch.zeros((), dtype=torch.float64))
    for function in (gumbel.cdf, gumbel.sf, gumbel.log_cdf, gumbel.log_sf):
        assert torch.autograd.gradcheck(function, (x,))


def test_a_masked_class_leaves_gradients_finite():
    temperature = torch.tensor(0.3, requires_grad=True)
    logits = torch.tensor([0.5, -torch.inf, 1.0], requires_grad=True)
    relaxed = px.distributions.ExpRelaxedOneHotCategorical(temperature, logits=logits)
    y = relaxed.rsample((50,))
    (y.exp().square().sum() + relaxed.log_prob(y).sum()).backward()
    assert torch.isfinite(temperature.grad)
    assert torch.isfinite(logits.grad[[0, 2]]).all()


def test_a_draw_carries_no_attribute_and_is_forgotten_when_changed():
    relaxed = px.distributions.RelaxedOneHotCategorical(0.05, logits=torch.zeros(10))
    x = relaxed.rsample((100,))
    assert not vars(x)
    first = relaxed.log_prob(x)
    assert torch.equal(first, copy.deepcopy(relaxed).log_prob(x))
    assert not torch.isfinite(relaxed.log_prob(x + 0.0)).all()
    with torch.no_grad():
        x.copy_(torch.full_like(x, 0.1))
    torch.testing.assert_close(relaxed.log_prob(x), relaxed.log_prob(x.clone()))


def test_svi_on_the_simplex_itself():
    """Prior and guide see the same tensor, whose logarithm is known."""
    pyro.clear_param_store()
    data = torch.linspace(-3.0, 3.0, 50)
    centres = torch.linspace(-4.0, 4.0, 10)
    simplex = px.distributions.RelaxedOneHotCategorical

    def model():
        with pyro.plate("row", 50):
            x = pyro.sample("x", simplex(0.05, logits=torch.zeros(10)))
            pyro.sample("y", dist.Normal(x @ centres, 0.5), obs=data)

    def guide():
        logits = pyro.param("logits", torch.zeros(50, 10))
        with pyro.plate("row", 50):
            pyro.sample("x", simplex(0.05, logits=logits))

    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), pyro.infer.Trace_ELBO())
    assert all(torch.isfinite(torch.tensor(svi.step())) for _ in range(50))
    pyro.clear_param_store()


def test_one_hot_sites_enumerate():
    def model():
        pyro.sample("z", px.distributions.OneHotCategoricalStraightThrough(torch.ones(3)))

    enumerated = pyro.infer.config_enumerate(model, default="parallel")
    with pyro.poutine.enum(first_available_dim=-1):
        trace = pyro.poutine.trace(enumerated).get_trace()
    assert trace.nodes["z"]["value"].shape == (3, 3)
