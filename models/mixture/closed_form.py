"""The mixture as a list of terms, fitted by coordinate ascent in closed form."""

import numpy as np

from models.mixture.data import LOC, POINTS, SCALE, WEIGHTS
from ppl_ext.cavi import (
    Ascent,
    Categorical,
    CategoryTerm,
    Dirichlet,
    MixtureTerm,
    NormalWishart,
    PriorTerm,
    ascend,
)

__all__ = ["ascend_mixture"]

# Components and weights are known as if from so many points.
_SURE = 1e7


def ascend_mixture() -> Ascent:
    """Fit assignments, components and weights; the latter two have priors that leave no doubt."""
    count = np.full(len(LOC), _SURE)
    scale = 1 / (_SURE * np.float64(SCALE) ** 2)
    components = NormalWishart(np.float64(LOC)[:, None], count, count, scale[:, None, None])
    weights = Dirichlet(_SURE * np.float64(WEIGHTS))
    terms = [
        PriorTerm("components", components),
        PriorTerm("weights", weights),
        CategoryTerm("classes", "weights"),
        MixtureTerm(np.float64(POINTS)[:, None], "classes", "components"),
    ]
    unassigned = Categorical(np.zeros((len(POINTS), len(LOC))))
    return ascend(terms, {"components": components, "weights": weights, "classes": unassigned})
