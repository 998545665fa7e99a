"""From a fitted Gaussian to draws of the posterior, by sequential Monte Carlo."""

from typing import TYPE_CHECKING

from ppl_ext.lazy_names import load_when_used

if TYPE_CHECKING:
    from ppl_ext.correction.result import Corrected, CorrectionLog, Stage
    from ppl_ext.correction.settings import Correction
    from ppl_ext.correction.solve import correct

__all__ = ["Corrected", "Correction", "CorrectionLog", "Stage", "correct"]

# A fit that needs no correction does not wait for the import of one.
__getattr__, __dir__ = load_when_used(globals())
