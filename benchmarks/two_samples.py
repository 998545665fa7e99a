"""Whether two sets of draws can be told apart, as the simulation benchmark asks it."""

import numpy as np
from measuring import clock

from ppl_ext.calibration import c2st

__all__ = ["score_draws"]


def score_draws(reference: str, draws: str, observation: int) -> dict[str, object]:
    """C2ST of each kind of draws in a file, ``{"c2st": {kind: accuracy}, "score_cpu": seconds}``.

    Args:
        reference: File with ``reference_samples[observation, draw, dim]``.
        draws: File of arrays of the same shape; draws that did not come to an end score 1.
        observation: Which of them, counted from 1.
    """
    expected = np.load(reference)["reference_samples"][observation - 1]

    def score(found: np.ndarray) -> float:
        return c2st(expected, found) if np.isfinite(found).all() else 1.0

    kinds = {kind: found[observation - 1] for kind, found in np.load(draws).items()}
    scores, cpu = clock(lambda: {kind: score(found) for kind, found in kinds.items()})
    return {"c2st": scores, "score_cpu": cpu}
