"""Estimators of gradients through discrete draws."""

from ppl_ext.pyro.estimators.estimation import GradientEstimate, estimate_gradient
from ppl_ext.pyro.estimators.estimator import (
    AbstractEstimator,
    AbstractPathEstimator,
    AbstractScoreEstimator,
)
from ppl_ext.pyro.estimators.leave_one_out import LeaveOneOut
from ppl_ext.pyro.estimators.rao import GumbelRao, ReinMaxControlVariate, ReinMaxRao
from ppl_ext.pyro.estimators.reinmax import ReinMax
from ppl_ext.pyro.estimators.relaxation import (
    GappedStraightThrough,
    GumbelSoftmax,
    StraightThroughGumbelSoftmax,
)
from ppl_ext.pyro.estimators.straight_through import StraightThrough

__all__ = [
    "AbstractEstimator",
    "AbstractPathEstimator",
    "AbstractScoreEstimator",
    "GappedStraightThrough",
    "GradientEstimate",
    "GumbelRao",
    "GumbelSoftmax",
    "LeaveOneOut",
    "ReinMax",
    "ReinMaxControlVariate",
    "ReinMaxRao",
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
    "estimate_gradient",
]
