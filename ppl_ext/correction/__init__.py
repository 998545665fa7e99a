"""From a fitted Gaussian to draws of the posterior, by sequential Monte Carlo."""

from ppl_ext.correction.result import Corrected, CorrectionLog, Stage
from ppl_ext.correction.settings import Correction
from ppl_ext.correction.solve import correct

__all__ = ["Corrected", "Correction", "CorrectionLog", "Stage", "correct"]
