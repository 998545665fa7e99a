"""One throw, and its posterior by quadrature.

Model: a ball leaves the height ``HEIGHT`` at ``speed ~ Uniform(0, 10)`` m/s and
``angle ~ Uniform(0, pi/2)`` and is seen to land at ``Normal(distance, NOISE)`` metres. The example
is that of G. Louppe's lectures "Foundations of Data Science" (University of Liege), where the ball
was thrown at 5 m/s and 45 degrees. The posterior was integrated by Gauss-Legendre quadrature;
``tests/models/test_pitcher.py`` does it again with SciPy's adaptive rule.

Variants: the height is not known, ``Uniform(1, 2)`` metres; a wind pushes the ball along by
``Normal(0, WIND)`` metres per second squared; and a throw that is said to have landed at 15 m,
which no throw without wind can reach.
"""

import numpy as np

from ppl_ext.commands.demo.problem import PITCHER

__all__ = [
    "FAR",
    "GRAVITY",
    "HEIGHT",
    "HEIGHTS",
    "LANDED",
    "LOG_EVIDENCE",
    "LOG_EVIDENCES",
    "NOISE",
    "REFERENCE",
    "WIND",
]

GRAVITY = 9.81
HEIGHT = 1.5
NOISE = 0.5
HEIGHTS = 1.0, 2.0
WIND = 1.0
(LANDED,) = PITCHER.data
FAR = np.array([15.0])

REFERENCE = PITCHER.reference
LOG_EVIDENCE = -2.2697626

# By Gauss-Legendre quadrature, the wind integrated in closed form: {model: (at LANDED, at FAR)}.
LOG_EVIDENCES = {
    "model": (LOG_EVIDENCE, -31.685292),
    "unknown_height": (-2.2691859, -28.364196),
    "windy": (-2.2748281, -9.7333669),
}
