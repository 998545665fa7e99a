"""Estimators of gradients as the hall sees them: how accurate they are, and where they mislead."""

from ppl_ext.estimators.accuracy import (
    AbstractEstimatorReport,
    EstimatorAccuracy,
    assess_estimator,
    enumerate_choices,
    expect_exactly,
    plan_groups,
)
from ppl_ext.estimators.mismatch import (
    DensityMismatch,
    RelaxedDensityWarning,
    having_told,
    warn_of,
)

__all__ = [
    "AbstractEstimatorReport",
    "DensityMismatch",
    "EstimatorAccuracy",
    "RelaxedDensityWarning",
    "assess_estimator",
    "enumerate_choices",
    "expect_exactly",
    "having_told",
    "plan_groups",
    "warn_of",
]
