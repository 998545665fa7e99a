"""Whether two sets of draws can be told apart, as the simulation benchmark asks it.

Reference:
    Lopez-Paz, D. and Oquab, M. (2017). Revisiting classifier two-sample tests. ICLR.
    arXiv:1610.06545.
"""

import numpy as np
from measuring import clock
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

__all__ = ["c2st", "score_draws"]


def c2st(reference: np.ndarray, draws: np.ndarray, seed: int = 1) -> float:
    """Held-out accuracy of a classifier between ``[draw, dim]`` arrays: 0.5 cannot tell, 1 can.

    The protocol is that of Lueckmann et al. (2021): coordinates scaled by those of the reference,
    two hidden layers of ten units a dimension, five folds.
    """
    mean, sd = reference.mean(0), reference.std(0, ddof=1)
    points = np.concatenate([(reference - mean) / sd, (draws - mean) / sd])
    labels = np.repeat([0.0, 1.0], [len(reference), len(draws)])
    width = 10 * reference.shape[1]
    classifier = MLPClassifier((width, width), max_iter=10_000, random_state=seed)
    folds = KFold(5, shuffle=True, random_state=seed)
    return float(cross_val_score(classifier, points, labels, cv=folds).mean())


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
