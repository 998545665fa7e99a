"""Can this answer be trusted? Diagnostics on draws, and the verdict on a fit."""

from ppl_ext.diagnostics.report import Report, judge, plan_batches
from ppl_ext.diagnostics.tails_and_modes import Gaussian, MissedMode

__all__ = [
    "Gaussian",
    "MissedMode",
    "Report",
    "judge",
    "plan_batches",
]
