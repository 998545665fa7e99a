"""The eight schools: effect of coaching on test scores, with its published posterior.

Data: D. B. Rubin (1981), "Estimation in parallel randomized experiments", Journal of Educational
Statistics 6(4), 377-401, doi:10.3102/10769986006004377. Posterior: 10,000 reference draws of
``eight_schools-eight_schools_noncentered`` in posteriordb (Magnusson et al., github.com/stan-dev/
posteriordb, BSD-3).
"""

import numpy as np

from ppl_ext.commands.demo.reference import Reference

__all__ = ["EFFECT", "REFERENCE", "SCHOOLS", "STANDARD_ERROR"]

SCHOOLS = tuple("ABCDEFGH")
EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
STANDARD_ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

REFERENCE = Reference(
    mean={
        "mu": np.array(4.41052),
        "tau": np.array(3.60206),
        "theta": np.array(
            [6.15050, 4.93958, 3.90591, 4.79602, 3.61444, 4.05115, 6.31717, 4.88400]
        ),
    },
    sd={
        "mu": np.array(3.30913),
        "tau": np.array(3.19832),
        "theta": np.array(
            [5.61558, 4.64535, 5.28045, 4.77070, 4.61449, 4.79601, 5.00261, 5.31743]
        ),
    },
    source="10,000 reference draws of posteriordb",
)
