"""Whether fits to simulated data are right on average, and whether data are like simulations."""

from ppl_ext.calibration.contraction import Contraction, measure_contraction
from ppl_ext.calibration.expected_coverage import ExpectedCoverage, measure_expected_coverage
from ppl_ext.calibration.interval_coverage import measure_interval_coverage
from ppl_ext.calibration.local_c2st import LocalC2ST, measure_local_c2st
from ppl_ext.calibration.misspecification import Simulated, measure_surprise
from ppl_ext.calibration.pit import PITColumns
from ppl_ext.calibration.result import Calibration
from ppl_ext.calibration.surprise import Surprise
from ppl_ext.calibration.tarp import measure_tarp
from ppl_ext.calibration.two_samples import c2st

__all__ = [
    "Calibration",
    "Contraction",
    "ExpectedCoverage",
    "LocalC2ST",
    "PITColumns",
    "Simulated",
    "Surprise",
    "c2st",
    "measure_contraction",
    "measure_expected_coverage",
    "measure_interval_coverage",
    "measure_local_c2st",
    "measure_surprise",
    "measure_tarp",
]
