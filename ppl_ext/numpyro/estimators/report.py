"""Estimators tried on one function, beside the exact gradient."""

import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ppl_ext.estimators.accuracy import (
    AbstractEstimatorReport,
    assess_estimator,
    enumerate_choices,
    expect_exactly,
    plan_groups,
)
from ppl_ext.estimators.arguments import refuse
from ppl_ext.numpyro.estimators.arguments import check_count, check_function
from ppl_ext.numpyro.estimators.estimation import check_estimator, estimate_gradient
from ppl_ext.numpyro.estimators.estimator import AbstractEstimator
from ppl_ext.numpyro.estimators.integrand import read_integrand
from ppl_ext.numpyro.estimators.leave_one_out import LeaveOneOut
from ppl_ext.numpyro.estimators.local_expectation import LocalExpectation
from ppl_ext.numpyro.estimators.one_hot_draws import to_one_hot
from ppl_ext.numpyro.estimators.rao import GumbelRao, ReinMaxRao
from ppl_ext.numpyro.estimators.reinmax import ReinMax
from ppl_ext.numpyro.estimators.relaxation import (
    GappedStraightThrough,
    GumbelSoftmax,
    StraightThroughGumbelSoftmax,
)
from ppl_ext.numpyro.estimators.score_function import ScoreFunction
from ppl_ext.numpyro.estimators.straight_through import StraightThrough
from ppl_ext.numpyro.gumbel.logits import check_classes, read_logits

__all__ = ["EstimatorReport"]

_MOST_AT_ONCE = 2**24


class EstimatorReport(AbstractEstimatorReport):
    """Bias, variance, direction and cost of estimators of one gradient, beside the exact one.

    The exact gradient sums over all joint values, so this is for small problems like the one at
    hand: a few of its variables, a small batch. Not for ``VIMCO``, which estimates the gradient
    of a bound.

    Args:
        rng_key: Random key.
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
        >>> import jax, jax.numpy as jnp
        >>> from ppl_ext.numpyro.estimators import LeaveOneOut, StraightThrough
        >>> f = lambda z: (z @ jnp.array([0.0, 1.0, 4.0])) ** 2
        >>> report = EstimatorReport(
        ...     jax.random.key(0), f, jnp.zeros(3), [StraightThrough(), LeaveOneOut()]
        ... )
        >>> [(row.biased, row.evaluations) for row in report.rows]
        [(True, 1), (False, 4)]
    """

    def __init__(
        self,
        rng_key: jax.Array,
        f: Callable[[jax.Array], jax.Array],
        logits: jax.Array,
        estimators: Sequence[AbstractEstimator] | None = None,
        num_draws: int = 10_000,
    ) -> None:
        check_function("EstimatorReport", f)
        cure = "EstimatorReport(f, logits, num_draws=10_000)."
        check_count("EstimatorReport", "num_draws", num_draws, 1, cure)
        logits = read_logits("EstimatorReport", None, logits, None)
        check_classes("EstimatorReport", logits, None)
        integrand, table = read_integrand("EstimatorReport", f, logits)
        variables, classes = table.shape[-2:]
        choices = enumerate_choices(variables, classes)
        values = _evaluate(integrand, table, choices)
        expectation, gradient = expect_exactly(_probs(table), choices, values)
        if estimators is None:
            estimators = _common_estimators(table)
        _check_estimators(estimators)
        rows = []
        for estimator in estimators:
            evaluations = estimator.evaluations(variables, classes)
            groups, size = plan_groups(num_draws, table.size * evaluations)
            program = jax.jit(
                lambda key, estimator=estimator, size=size: (
                    estimate_gradient(key, f, logits, estimator, size).gradient
                )
            )
            keys = jax.random.split(jax.random.fold_in(rng_key, len(rows)), groups)
            jax.block_until_ready(program(keys[0]))  # compiled before the clock starts
            began = time.process_time()
            estimates = [np.asarray(program(key)) for key in keys]
            seconds = time.process_time() - began
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
    rows = max(1, _MOST_AT_ONCE // table.size)
    values = []
    for block in np.array_split(choices, -(-len(choices) // rows)):
        z = to_one_hot(block, table)
        z = z.reshape(len(block), *(1,) * (table.ndim - 2), *table.shape[-2:])
        values.append(np.asarray(integrand(jnp.broadcast_to(z, (len(block), *table.shape)))))
    return np.concatenate(values)


def _probs(table):
    # In float64 whatever the flag of the process is.
    logits = np.asarray(table).astype(float)
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def _common_estimators(table):
    """List what is commonly used; enumeration of single variables where it is cheap."""
    local = [LocalExpectation()]
    if table.size * table.shape[-1] * table.shape[-2] > _MOST_AT_ONCE:
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
