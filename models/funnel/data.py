"""The funnel of Neal (2003), Slice sampling, Annals of Statistics 31(3): no data, all exact.

``log_scale ~ Normal(0, 3)`` and nine ``x ~ Normal(0, exp(log_scale / 2))``. The tails of ``x`` are
so heavy that its standard deviation, exp(9 / 4), says little; ``log_scale`` is normal, and so is
``x`` in units of its scale.
"""

import numpy as np

from ppl_ext.commands.demo.reference import Reference

__all__ = ["DIM", "LOG_EVIDENCE", "REFERENCE", "SPREAD"]

DIM = 10
SPREAD = 3.0
LOG_EVIDENCE = 0.0
REFERENCE = Reference(
    mean={"log_scale": np.array(0.0), "unit": np.zeros(DIM - 1)},
    sd={"log_scale": np.array(SPREAD), "unit": np.ones(DIM - 1)},
    source="theory",
)
