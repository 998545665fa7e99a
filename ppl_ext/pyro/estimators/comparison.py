"""Estimators tried on one function, beside the exact gradient."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ppl_ext.estimators.arguments import check_count, check_function
from ppl_ext.estimators.comparison import EstimatorReport, check_estimators, hold_beside
from ppl_ext.estimators.enumeration import enumerate_choices
from ppl_ext.pyro.estimators.estimation import check_estimator, estimate_gradient
from ppl_ext.pyro.estimators.estimator import AbstractEstimator
from ppl_ext.pyro.estimators.integrand import read_integrand
from ppl_ext.pyro.estimators.local_expectation import LocalExpectation
from ppl_ext.pyro.estimators.one_hot_draws import to_one_hot
from ppl_ext.pyro.estimators.rao import GumbelRao, ReinMaxRao
from ppl_ext.pyro.estimators.relaxation import (
    GappedStraightThrough,
    GumbelSoftmax,
    StraightThroughGumbelSoftmax,
)
from ppl_ext.pyro.estimators.score_function import ScoreFunction
from ppl_ext.pyro.estimators.several_draws import LeaveOneOut
from ppl_ext.pyro.estimators.straight_through import ReinMax, StraightThrough
from ppl_ext.pyro.gumbel.logits import check_classes, read_logits, to_probs

__all__ = ["compare_estimators"]

_MOST_AT_ONCE = 2**24


def compare_estimators(
    f: Callable[[torch.Tensor], torch.Tensor],
    logits: torch.Tensor,
    estimators: Sequence[AbstractEstimator] | None = None,
    num_draws: int = 10_000,
) -> EstimatorReport:
    """Compare estimators of one gradient by bias, variance, direction and cost.

    The exact gradient sums over all joint values, so this is for small problems like the one at
    hand: a few of its variables, a small batch. Not for ``VIMCO``, which estimates the gradient
    of a bound.

    Args:
        f: Function of one-hot draws ``(*draws, *logits.shape)``, each member of the batch by
            itself, with values ``(*draws, *batch)``. Differentiable, for estimators whose
            gradient passes through the draw.
        logits: Unnormalised log-probabilities ``(*batch, variable, class)``, or ``(class,)``
            for a single variable; ``-inf`` rules a class out.
        estimators: What to compare; those of common use if None.
        num_draws: Estimates to make with each, at least.

    Returns:
        The report; print it, or ``ppl_ext.plots.plot_estimators(report)``.

    Raises:
        ValueError: More than 100,000 joint values, no logits, or values of ``f`` of another
            shape.

    Example:
        >>> import torch
        >>> from ppl_ext.pyro.estimators import LeaveOneOut, StraightThrough
        >>> _ = torch.manual_seed(0)
        >>> f = lambda z: (z @ torch.tensor([0.0, 1.0, 4.0])) ** 2
        >>> report = compare_estimators(f, torch.zeros(3), [StraightThrough(), LeaveOneOut()])
        >>> [(row.biased, row.evaluations) for row in report.rows]
        [(True, 1), (False, 4)]
    """
    called = "compare_estimators"
    check_function(called, f)
    check_count(called, "num_draws", num_draws, 1, f"{called}(f, logits, num_draws=10_000).")
    logits = read_logits(called, None, logits, None).detach()
    check_classes(called, logits, None)
    integrand, table = read_integrand(called, f, logits)
    variables, classes = table.shape[-2:]
    values = _evaluate(integrand, table, enumerate_choices(variables, classes))
    if estimators is None:
        estimators = _common_estimators(table.numel(), variables, classes)
    check_estimators(estimators, AbstractEstimator)
    for each in estimators:
        check_estimator(called, each)

    def estimate(estimator, groups, size):
        estimates, seconds = [], 0.0
        for _ in range(groups):
            began = time.process_time()
            found = estimate_gradient(f, logits, estimator, num_draws=size).gradient
            seconds += time.process_time() - began
            estimates.append(found.reshape(size, *table.shape).double().cpu().numpy())
        return estimates, seconds

    probs = to_probs(table.double()).cpu().numpy()
    return hold_beside(estimators, estimate, probs=probs, values=values, num_draws=num_draws)


def _evaluate(integrand, table, choices):
    """Return the function at every joint value, for each member of the batch."""
    rows = max(1, _MOST_AT_ONCE // table.numel())
    values = []
    with torch.no_grad():
        for block in np.array_split(choices, -(-len(choices) // rows)):
            index = torch.from_numpy(block).to(table.device)
            z = to_one_hot(index, table).reshape(
                len(block), *(1,) * (table.dim() - 2), *table.shape[-2:]
            )
            values.append(integrand(z.expand(len(block), *table.shape)).double().cpu().numpy())
    return np.concatenate(values)


def _common_estimators(size, variables, classes):
    """List what is commonly used; enumeration of single variables where it is cheap."""
    cheap = size * classes * variables <= _MOST_AT_ONCE
    return [
        ScoreFunction(),
        LeaveOneOut(4),
        *([LocalExpectation()] if cheap else []),
        GumbelSoftmax(0.5),
        StraightThrough(),
        StraightThroughGumbelSoftmax(0.5),
        GumbelRao(0.3, 10),
        GappedStraightThrough(),
        ReinMax(),
        ReinMaxRao(),
    ]
