"""Points from three Normal components, and the exact posterior of their assignments."""

import numpy as np
from scipy import special, stats

__all__ = ["LOC", "LOG_EVIDENCE", "POINTS", "PROBABILITIES", "SCALE", "WEIGHTS"]

LOC = np.array([-2.0, 0.0, 2.5], dtype=np.float32)
SCALE = np.array([0.8, 0.5, 1.0], dtype=np.float32)
WEIGHTS = np.array([0.3, 0.5, 0.2], dtype=np.float32)

_GENERATOR = np.random.default_rng(0)
_CLASS = _GENERATOR.choice(3, size=60, p=[0.3, 0.5, 0.2])
POINTS = _GENERATOR.normal(LOC[_CLASS], SCALE[_CLASS]).astype(np.float32)

_JOINT = np.log(WEIGHTS) + stats.norm.logpdf(POINTS[:, None], LOC, SCALE)
PROBABILITIES = special.softmax(_JOINT, axis=-1)
LOG_EVIDENCE = float(special.logsumexp(_JOINT, axis=-1).sum())
