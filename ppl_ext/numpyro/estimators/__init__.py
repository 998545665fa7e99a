"""Estimators of gradients through discrete draws."""

from ppl_ext.numpyro.estimators.estimation import GradientEstimate, estimate_gradient
from ppl_ext.numpyro.estimators.estimator import (
    AbstractEstimator,
    AbstractPathEstimator,
    AbstractScoreEstimator,
)
from ppl_ext.numpyro.estimators.leave_one_out import LeaveOneOut

__all__ = [
    "AbstractEstimator",
    "AbstractPathEstimator",
    "AbstractScoreEstimator",
    "GradientEstimate",
    "LeaveOneOut",
    "estimate_gradient",
]
