"""One throw, and its posterior by quadrature.

Model: a ball leaves the height ``HEIGHT`` at ``speed ~ Uniform(0, 10)`` m/s and
``angle ~ Uniform(0, pi/2)`` and is seen to land at ``Normal(distance, NOISE)`` metres. The example
is that of G. Louppe's lectures "Foundations of Data Science" (University of Liege), where the ball
was thrown at 5 m/s and 45 degrees. The posterior was integrated by Gauss-Legendre quadrature;
``tests/models/test_pitcher.py`` does it again with SciPy's adaptive rule.
"""

import numpy as np

from ppl_ext.commands.demo.reference import Reference

__all__ = ["GRAVITY", "HEIGHT", "LANDED", "LOG_EVIDENCE", "NOISE", "REFERENCE"]

GRAVITY = 9.81
HEIGHT = 1.5
NOISE = 0.5
LANDED = np.array([3.301430])

REFERENCE = Reference(
    mean={"speed": np.array(5.5229551), "angle": np.array(0.6889936)},
    sd={"speed": np.array(1.3484774), "angle": np.array(0.4408923)},
    source="quadrature",
)
LOG_EVIDENCE = -2.2697626
