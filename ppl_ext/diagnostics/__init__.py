"""Can this answer be trusted? Diagnostics on draws, and the verdict on a fit."""

from ppl_ext.diagnostics.psis import SmoothedWeights, smooth_weights
from ppl_ext.diagnostics.reach import Gaussian, MissedMode
from ppl_ext.diagnostics.report import Report, judge, plan_batches

__all__ = [
    "Gaussian",
    "MissedMode",
    "Report",
    "SmoothedWeights",
    "judge",
    "plan_batches",
    "smooth_weights",
]
