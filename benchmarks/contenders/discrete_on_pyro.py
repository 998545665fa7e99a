"""The discrete family in Pyro, beside PyTorch's own."""

import importlib.util

import numpy as np
import pyro.distributions as dist
import torch
from discrete import TEMPERATURES, compare_times, extremes_of, finite_plan
from torch.distributions import Categorical
from torch.nn.functional import gumbel_softmax

import ppl_ext.pyro as px
from contenders.discrete_precision import judge_precision
from contenders.gradient_problems import PROBLEMS, evaluate
from ppl_ext.pyro.gumbel.noise import uniform_to_gumbel

__all__ = ["run"]


def run(rows: int, classes: int, draws: int, estimates: int) -> dict:
    """Measure times, the density of own draws, and estimators of gradients."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return {
        "times": _times(rows, classes),
        "precision": list(_precision()),
        "draws": list(_own_draws(draws)),
        "estimators": list(_estimators(estimates)),
    }


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

    def estimate(estimator):
        backward((weight * estimator.sample(logits)).sum())

    def hard_gumbel():
        backward((weight * gumbel_softmax(logits, 0.5, hard=True)).sum())

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
            "ReinMax, forward and backward": (
                lambda: estimate(px.estimators.ReinMax()),
                _reinmax_of_others(through, backward, logits, weight, 1.0),
            ),
            "ReinMax at temperature 1.1": (
                lambda: estimate(px.estimators.ReinMax(1.1)),
                _reinmax_of_others(through, backward, logits, weight, 1.1),
            ),
            "hard Gumbel-softmax, forward and backward": (
                lambda: estimate(px.estimators.StraightThroughGumbelSoftmax(0.5)),
                hard_gumbel,
            ),
            **{
                f"Gumbel-Rao, {count} draw{'s' * (count > 1)}": (
                    lambda count=count: estimate(px.estimators.GumbelRao(0.5, count)),
                    hard_gumbel,
                )
                for count in (1, 10)
            },
            "categorical draw": (
                lambda: ours.sample_categorical(logits.detach()),
                lambda: Categorical(logits=logits.detach()).sample(),
            ),
        }
    )


def _reinmax_of_others(through, backward, logits, weight, temperature):
    """The package reinmax, or the host's straight-through where it is not installed."""
    if importlib.util.find_spec("reinmax") is None:
        return lambda: through(dist.OneHotCategoricalStraightThrough(logits=logits))
    from reinmax import reinmax

    return lambda: backward((weight * reinmax(logits, temperature)[0]).sum())


def _estimators(estimates):
    torch.manual_seed(0)
    for name, problem in PROBLEMS.items():
        weights = [torch.as_tensor(each) for each in problem.weights]
        report = px.estimators.compare_estimators(
            lambda z, problem=problem, weights=weights: evaluate(problem, z, weights, torch.tanh),
            torch.as_tensor(problem.logits),
            num_draws=estimates,
        )
        yield name, str(report)


def _precision():
    def relaxed(temperature, logits):
        relaxed = px.distributions.ExpRelaxedOneHotCategorical(temperature, logits=logits)
        y = relaxed.rsample((1000,))
        return y, relaxed.log_prob(y)

    def gumbel(dtype):
        zero, one = torch.as_tensor(np.array([0, 1], dtype))
        return px.distributions.Gumbel(zero, one)

    yield from judge_precision(gumbel, uniform_to_gumbel, relaxed, torch.as_tensor)


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
