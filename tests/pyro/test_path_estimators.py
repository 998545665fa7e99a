"""Path estimators under torch's transformations."""

import pytest
import torch

from ppl_ext.pyro import estimators

ALL = [
    estimators.GumbelSoftmax(),
    estimators.StraightThrough(),
    estimators.StraightThroughGumbelSoftmax(),
    estimators.GappedStraightThrough(),
    estimators.GumbelRao(num_draws=2),
    estimators.ReinMax(),
    estimators.ReinMax(1.3),
    estimators.ReinMaxRao(num_draws=2),
]
SLOPE = torch.tensor([1.0, -2.0, 0.5])


def square(estimator, logits):
    return ((estimator.sample(logits) @ SLOPE) ** 2).sum()


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_vmap_of_gradients(estimator):
    logits = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    slope = torch.func.grad(lambda logits: square(estimator, logits))
    gradient = torch.func.vmap(slope, randomness="different")(logits)
    assert gradient.shape == logits.shape
    assert gradient.isfinite().all()
    assert gradient.sum(-1).abs().max() < 1e-5


# Dynamo makes an instance of the autograd function, of which torch itself warns.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_compiles_without_a_break(estimator):
    """One graph forward and one backward, without the code generator, which takes a while."""
    torch._dynamo.reset()
    logits = torch.zeros(4, 3, requires_grad=True)
    torch.manual_seed(0)
    program = torch.compile(
        lambda logits: square(estimator, logits), fullgraph=True, backend="aot_eager"
    )
    (gradient,) = torch.autograd.grad(program(logits), logits)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    "estimator",
    [estimators.StraightThrough(), estimators.ReinMax(), estimators.ReinMax(1.3)],
    ids=repr,
)
def test_second_derivatives_are_those_of_the_first(estimator):
    """By central differences of the gradient, the draw held by its seed."""
    logits = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64, requires_grad=True)
    slope = SLOPE.double()

    def gradient(logits):
        torch.manual_seed(0)
        value = (estimator.sample(logits) * slope).sum()
        return torch.autograd.grad(value, logits, create_graph=True)[0]

    for column in range(3):
        (second,) = torch.autograd.grad(gradient(logits)[column], logits)
        for row in range(3):
            step = torch.zeros(3, dtype=torch.float64)
            step[row] = 1e-5
            high, low = (
                gradient((logits + sign * step).detach().requires_grad_())[column]
                for sign in (1, -1)
            )
            assert abs(float(((high - low) / 2e-5 - second[row]).detach())) < 1e-6


def test_second_derivative_of_averaged_draws_holds_the_noise():
    """At the same noise, that of a single relaxed draw: a softmax."""
    estimator = estimators.GumbelRao(0.7, 1)
    logits = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    value = (estimator.sample(logits) * SLOPE.double()).sum()
    (first,) = torch.autograd.grad(value, logits, create_graph=True)
    seconds = torch.stack(
        [torch.autograd.grad(each, logits, retain_graph=True)[0] for each in first]
    )
    assert (seconds - seconds.T).abs().max() < 1e-12
    assert seconds.sum(-1).abs().max() < 1e-12


def test_memory_does_not_grow_with_the_draws():
    """What is kept between the passes: logits, classes and the draw."""
    logits = torch.zeros(64, 100, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        estimators.GumbelRao(num_draws=1000).sample(logits)
    assert sum(kept) <= 64 * 100 + 64
