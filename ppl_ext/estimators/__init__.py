"""Estimators of gradients as the hall sees them: how accurate they are, and where they mislead."""

from ppl_ext.estimators.accuracy import EstimatorAccuracy, assess_estimator
from ppl_ext.estimators.comparison import EstimatorReport, hold_beside, plan_groups
from ppl_ext.estimators.enumeration import enumerate_choices, expect_exactly
from ppl_ext.estimators.mismatch import (
    DensityMismatch,
    RelaxedDensityWarning,
    having_told,
    warn_of,
)

__all__ = [
    "DensityMismatch",
    "EstimatorAccuracy",
    "EstimatorReport",
    "RelaxedDensityWarning",
    "assess_estimator",
    "enumerate_choices",
    "expect_exactly",
    "having_told",
    "hold_beside",
    "plan_groups",
    "warn_of",
]
