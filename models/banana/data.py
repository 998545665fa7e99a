"""Two coefficients, ``a + b**2`` seen once, and their posterior by quadrature.

``a, b ~ Normal(0, 1)`` and ``seen ~ Normal(a + b**2, NOISE)``. Given b all is normal, so that one
integral over b is left; ``tests/models/test_banana.py`` does it over both instead.
"""

import numpy as np

from ppl_ext.commands.demo.reference import Reference

__all__ = ["LOG_EVIDENCE", "NOISE", "REFERENCE", "SEEN"]

SEEN = np.array(1.0)
NOISE = 0.25
LOG_EVIDENCE = -1.3062411
REFERENCE = Reference(
    mean={"a": np.array(0.3327249), "b": np.array(0.0)},
    sd={"a": np.array(0.6539365), "b": np.array(0.8040397)},
    source="quadrature",
)
