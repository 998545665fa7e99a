"""Can this answer be trusted? Diagnostics on draws, and the verdict on a fit."""

from ppl_ext.diagnostics.gaussian import Gaussian
from ppl_ext.diagnostics.judging import judge, plan_batches
from ppl_ext.diagnostics.modes import MissedMode
from ppl_ext.diagnostics.report import Details, Report
from ppl_ext.diagnostics.steps import Chains, Step
from ppl_ext.diagnostics.verdict import Verdict

__all__ = [
    "Chains",
    "Details",
    "Gaussian",
    "MissedMode",
    "Report",
    "Step",
    "Verdict",
    "judge",
    "plan_batches",
]
