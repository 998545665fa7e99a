"""Relaxed draws under vmap, the compiler and double backward, and on every device at hand."""

import pyro
import pytest
import torch

import ppl_ext.pyro as px
from ppl_ext.pyro.distributions.remembered_scores import recall
from ppl_ext.pyro.gumbel import row_blocks

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    logits, scores = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64)
    temperature = torch.tensor([0.4, 0.9, 1.5], dtype=torch.float64)
    return [each.requires_grad_() for each in (logits, temperature, scores)]


def loss(logits, temperature):
    relaxed = px.distributions.RelaxedOneHotCategorical(
        temperature, logits=logits, validate_args=False
    )
    x = relaxed.rsample()
    return x.square().sum() + relaxed.log_prob(x).sum()


def test_first_and_second_derivatives(problem, monkeypatch):
    """Against finite differences, over several pieces of rows."""
    monkeypatch.setattr(row_blocks, "PIECE", 10)

    def draw(logits, temperature):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return row_blocks.draw_relaxed(logits, temperature, (2, 3, 5))

    def density(logits, temperature, scores):
        return row_blocks.log_density_of_draw(logits, temperature, scores)

    for function, inputs in ((draw, problem[:2]), (density, problem)):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("name", ["", "StraightThrough"])
def test_what_is_remembered_is_the_density(name):
    """Of soft and hard draws alike, and by a distribution of another shape."""
    logits = torch.randn(2, 300, generator=torch.Generator().manual_seed(0))
    drawn = getattr(px.distributions, f"RelaxedOneHotCategorical{name}")(0.7, logits=logits[0])
    value = drawn.rsample((4, 1))
    relaxed = px.distributions.RelaxedOneHotCategorical(0.9, logits=logits)
    y = recall(value).double().log_softmax(-1)
    on_log_simplex = px.distributions.ExpRelaxedOneHotCategorical(0.9, logits=logits.double())
    truth = on_log_simplex.log_prob(y) - y.sum(-1)
    torch.testing.assert_close(relaxed.log_prob(value).double(), truth, rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_vmap(problem, randomness):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        slopes = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None), randomness=randomness)(
            problem[0].detach()[:1].expand(4, 5), torch.tensor(0.5)
        )
    assert slopes.isfinite().all()
    assert bool((slopes[0] == slopes[1]).all()) == (randomness == "same")


def test_compiles_without_a_break(problem):
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    # The compiler switches the validation of distributions off, for good if nobody restores it.
    with torch.random.fork_rng(), pyro.validation_enabled():
        torch.manual_seed(0)
        slopes = torch.autograd.grad(compiled(*problem[:2]), problem[:2])
    assert all(bool(each.isfinite().all()) for each in slopes)


@pytest.mark.parametrize("device", DEVICES)
def test_devices(device):
    logits = torch.zeros(3, 4, device=device)
    d = px.distributions
    for made in (
        d.Gumbel(logits, 1.0),
        d.PlackettLuce(logits, 2),
        d.ExpRelaxedOneHotCategorical(0.5, logits=logits),
        d.RelaxedOneHotCategorical(0.5, logits=logits),
    ):
        value = made.sample((5,))
        log_prob = made.log_prob(value)
        assert value.device.type == log_prob.device.type == device
        assert log_prob.isfinite().all()
    assert d.PlackettLuce(logits, 2).inclusion_probs.device.type == device
    assert d.relaxed_top_k(logits, 2, 0.5, hard=True).device.type == device
