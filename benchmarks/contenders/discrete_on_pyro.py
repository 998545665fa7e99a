"""The discrete family in Pyro, beside PyTorch's own."""

import pyro.distributions as dist
import torch
from discrete import TEMPERATURES, compare_times, extremes_of, finite_plan
from torch.distributions import Categorical
from torch.nn.functional import gumbel_softmax

import ppl_ext.pyro as px

__all__ = ["run"]


def run(rows: int, classes: int, draws: int) -> dict:
    """Measure times and the density of own draws."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return {"times": _times(rows, classes), "draws": list(_own_draws(draws))}


def _times(rows, classes):
    logits = torch.randn(rows, classes, requires_grad=True)
    weight = torch.randn(rows, classes)
    temperature = torch.tensor(0.5)
    ours = px.distributions

    def backward(value):
        (slope,) = torch.autograd.grad(value, logits)
        return slope

    def with_density(distribution):
        x = distribution.rsample()
        backward((weight * x).sum() + distribution.log_prob(x).sum())

    def through(distribution):
        backward((weight * distribution.rsample()).sum())

    return compare_times(
        {
            "Gumbel noise": (
                lambda: ours.gumbel_noise((rows, classes)),
                lambda: torch.empty(rows, classes).exponential_().log().neg(),
            ),
            "relaxed draw, forward and backward": (
                lambda: through(ours.RelaxedOneHotCategorical(0.5, logits=logits)),
                lambda: backward((weight * gumbel_softmax(logits, 0.5)).sum()),
            ),
            "the same with its log density": (
                lambda: with_density(ours.RelaxedOneHotCategorical(0.5, logits=logits)),
                lambda: with_density(
                    # Unchecked: it refuses draws of its own.
                    dist.RelaxedOneHotCategorical(temperature, logits=logits, validate_args=False)
                ),
            ),
            "straight-through, forward and backward": (
                lambda: through(ours.OneHotCategoricalStraightThrough(logits=logits)),
                lambda: through(dist.OneHotCategoricalStraightThrough(logits=logits)),
            ),
            "categorical draw": (
                lambda: ours.sample_categorical(logits.detach()),
                lambda: Categorical(logits=logits.detach()).sample(),
            ),
        }
    )


def _own_draws(draws):
    for name in ("ExpRelaxedOneHotCategorical", "RelaxedOneHotCategorical"):
        for classes, scale, count in finite_plan(draws):
            logits = scale * torch.randn(classes)
            for temperature in TEMPERATURES:
                relaxed = getattr(px.distributions, name)(temperature, logits=logits)
                value = relaxed.rsample((count,))
                log_prob = relaxed.log_prob(value)
                simplex = value.exp() if name.startswith("Exp") else value
                found = extremes_of(log_prob.numpy(), simplex.numpy())
                yield name, temperature, classes, scale, count, found
