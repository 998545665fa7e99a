"""Whether fits to simulated data are right on average: simulation-based calibration."""

from ppl_ext.calibration.pit import PITColumns
from ppl_ext.calibration.result import Calibration

__all__ = ["Calibration", "PITColumns"]
