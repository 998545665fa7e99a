"""Estimators tried on one function, beside the exact gradient."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ppl_ext.estimators.accuracy import (
    AbstractEstimatorReport,
    assess_estimator,
    enumerate_choices,
    expect_exactly,
    plan_groups,
)
from ppl_ext.estimators.arguments import refuse
from ppl_ext.pyro.estimators.arguments import check_count, check_function
from ppl_ext.pyro.estimators.estimation import check_estimator, estimate_gradient
from ppl_ext.pyro.estimators.estimator import AbstractEstimator
from ppl_ext.pyro.estimators.integrand import read_integrand
from ppl_ext.pyro.estimators.leave_one_out import LeaveOneOut
from ppl_ext.pyro.estimators.local_expectation import LocalExpectation
from ppl_ext.pyro.estimators.one_hot_draws import to_one_hot
from ppl_ext.pyro.estimators.rao import GumbelRao, ReinMaxRao
from ppl_ext.pyro.estimators.reinmax import ReinMax
from ppl_ext.pyro.estimators.relaxation import (
    GappedStraightThrough,
    GumbelSoftmax,
    StraightThroughGumbelSoftmax,
)
from ppl_ext.pyro.estimators.score_function import ScoreFunction
from ppl_ext.pyro.estimators.straight_through import StraightThrough
from ppl_ext.pyro.gumbel.logits import check_classes, read_logits, to_probs

__all__ = ["EstimatorReport"]

_MOST_AT_ONCE = 2**24


class EstimatorReport(AbstractEstimatorReport):
    """Bias, variance, direction and cost of estimators of one gradient, beside the exact one.

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

    Raises:
        ValueError: More than 100,000 joint values, no logits, or values of ``f`` of another
            shape.

    Example:
        >>> import torch
        >>> from ppl_ext.pyro.estimators import LeaveOneOut, StraightThrough
        >>> _ = torch.manual_seed(0)
        >>> f = lambda z: (z @ torch.tensor([0.0, 1.0, 4.0])) ** 2
        >>> report = EstimatorReport(f, torch.zeros(3), [StraightThrough(), LeaveOneOut()])
        >>> [(row.biased, row.evaluations) for row in report.rows]
        [(True, 1), (False, 4)]
    """

    def __init__(
        self,
        f: Callable[[torch.Tensor], torch.Tensor],
        logits: torch.Tensor,
        estimators: Sequence[AbstractEstimator] | None = None,
        num_draws: int = 10_000,
    ) -> None:
        check_function("EstimatorReport", f)
        cure = "EstimatorReport(f, logits, num_draws=10_000)."
        check_count("EstimatorReport", "num_draws", num_draws, 1, cure)
        logits = read_logits("EstimatorReport", None, logits, None).detach()
        check_classes("EstimatorReport", logits, None)
        integrand, table = read_integrand("EstimatorReport", f, logits)
        variables, classes = table.shape[-2:]
        choices = enumerate_choices(variables, classes)
        values = _evaluate(integrand, table, choices)
        probs = to_probs(table.double()).cpu().numpy()
        expectation, gradient = expect_exactly(probs, choices, values)
        if estimators is None:
            estimators = _common_estimators(table)
        _check_estimators(estimators)
        rows = []
        for estimator in estimators:
            evaluations = estimator.evaluations(variables, classes)
            groups, size = plan_groups(num_draws, table.numel() * evaluations)
            estimates, seconds = [], 0.0
            for _ in range(groups):
                began = time.process_time()
                found = estimate_gradient(f, logits, estimator, num_draws=size).gradient
                seconds += time.process_time() - began
                estimates.append(found.reshape(size, *table.shape).double().cpu().numpy())
            rows.append(
                assess_estimator(
                    repr(estimator),
                    estimates,
                    gradient,
                    evaluations=evaluations,
                    seconds=seconds / (groups * size),
                )
            )
        super().__init__(
            tuple(rows), float(np.mean(expectation)), float(np.linalg.norm(gradient)), num_draws
        )


def _check_estimators(estimators):
    """Refuse what is no list of estimators."""
    if isinstance(estimators, AbstractEstimator):
        raise refuse(
            "EstimatorReport",
            f"estimators is {estimators!r}",
            "a list of them",
            f"EstimatorReport(..., [{estimators!r}]).",
        )
    for each in estimators:
        check_estimator("EstimatorReport", each)


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


def _common_estimators(table):
    """List what is commonly used; enumeration of single variables where it is cheap."""
    local = [LocalExpectation()]
    if table.numel() * table.shape[-1] * table.shape[-2] > _MOST_AT_ONCE:
        local = []
    return [
        ScoreFunction(),
        LeaveOneOut(4),
        *local,
        GumbelSoftmax(0.5),
        StraightThrough(),
        StraightThroughGumbelSoftmax(0.5),
        GumbelRao(0.3, 10),
        GappedStraightThrough(),
        ReinMax(),
        ReinMaxRao(),
    ]
