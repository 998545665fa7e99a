"""Estimators of gradients through discrete draws."""

from ppl_ext.pyro.estimators.antithetic import ARM, AbstractAntithetic, DisARM
from ppl_ext.pyro.estimators.control_variate import REBAR, RELAX, AbstractControlVariate
from ppl_ext.pyro.estimators.estimation import (
    GradientEstimate,
    estimate_gradient,
    second_moment,
)
from ppl_ext.pyro.estimators.estimator import (
    AbstractEstimator,
    AbstractPathEstimator,
    AbstractScoreEstimator,
)
from ppl_ext.pyro.estimators.leave_one_out import LeaveOneOut
from ppl_ext.pyro.estimators.local_expectation import LocalExpectation
from ppl_ext.pyro.estimators.multi_sample import VIMCO
from ppl_ext.pyro.estimators.normal import (
    AbstractNormalEstimator,
    NormalPath,
    NormalScoreFunction,
)
from ppl_ext.pyro.estimators.rao import GumbelRao, ReinMaxControlVariate, ReinMaxRao
from ppl_ext.pyro.estimators.reinmax import ReinMax
from ppl_ext.pyro.estimators.relaxation import (
    GappedStraightThrough,
    GumbelSoftmax,
    StraightThroughGumbelSoftmax,
)
from ppl_ext.pyro.estimators.report import EstimatorReport
from ppl_ext.pyro.estimators.score_function import MovingAverage, ScoreFunction
from ppl_ext.pyro.estimators.straight_through import StraightThrough
from ppl_ext.pyro.estimators.unordered_set import UnorderedSet

__all__ = [
    "ARM",
    "REBAR",
    "RELAX",
    "VIMCO",
    "AbstractAntithetic",
    "AbstractControlVariate",
    "AbstractEstimator",
    "AbstractNormalEstimator",
    "AbstractPathEstimator",
    "AbstractScoreEstimator",
    "DisARM",
    "EstimatorReport",
    "GappedStraightThrough",
    "GradientEstimate",
    "GumbelRao",
    "GumbelSoftmax",
    "LeaveOneOut",
    "LocalExpectation",
    "MovingAverage",
    "NormalPath",
    "NormalScoreFunction",
    "ReinMax",
    "ReinMaxControlVariate",
    "ReinMaxRao",
    "ScoreFunction",
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
    "UnorderedSet",
    "estimate_gradient",
    "second_moment",
]


def __dir__() -> list[str]:
    return __all__
