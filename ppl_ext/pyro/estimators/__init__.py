"""Estimators of gradients through discrete draws."""

from ppl_ext.estimators.comparison import EstimatorReport
from ppl_ext.pyro.estimators.antithetic import ARM, DisARM
from ppl_ext.pyro.estimators.comparison import compare_estimators
from ppl_ext.pyro.estimators.control_variate import REBAR, RELAX
from ppl_ext.pyro.estimators.estimation import (
    GradientEstimate,
    estimate_gradient,
    second_moment,
)
from ppl_ext.pyro.estimators.estimator import AbstractEstimator
from ppl_ext.pyro.estimators.local_expectation import LocalExpectation
from ppl_ext.pyro.estimators.normal import NormalPath, NormalScoreFunction
from ppl_ext.pyro.estimators.rao import GumbelRao, ReinMaxRao
from ppl_ext.pyro.estimators.relaxation import (
    GappedStraightThrough,
    GumbelSoftmax,
    StraightThroughGumbelSoftmax,
)
from ppl_ext.pyro.estimators.score_function import ScoreFunction
from ppl_ext.pyro.estimators.several_draws import VIMCO, LeaveOneOut
from ppl_ext.pyro.estimators.straight_through import ReinMax, StraightThrough

__all__ = [
    "ARM",
    "REBAR",
    "RELAX",
    "VIMCO",
    "AbstractEstimator",
    "DisARM",
    "EstimatorReport",
    "GappedStraightThrough",
    "GradientEstimate",
    "GumbelRao",
    "GumbelSoftmax",
    "LeaveOneOut",
    "LocalExpectation",
    "NormalPath",
    "NormalScoreFunction",
    "ReinMax",
    "ReinMaxRao",
    "ScoreFunction",
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
    "compare_estimators",
    "estimate_gradient",
    "second_moment",
]


def __dir__() -> list[str]:
    return __all__
