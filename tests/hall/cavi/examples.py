"""A factor of each family, data, and what every ascent must do."""

import numpy as np
from numpy.testing import assert_allclose

from ppl_ext.cavi import (
    Categorical,
    Dirichlet,
    Gamma,
    MultivariateNormal,
    Normal,
    NormalGamma,
    NormalWishart,
)

RNG = np.random.default_rng(0)
Y = RNG.normal(1.5, 0.7, size=12)
X = RNG.normal(size=(12, 3))
ROOT = RNG.normal(size=(3, 3))
SPREAD = ROOT @ ROOT.T + np.eye(3)

NORMAL = Normal(np.array([0.5, -1.0, 2.0]), np.array([2.0, 0.3, 1.0]))
VECTORS = MultivariateNormal(RNG.normal(size=(4, 3)), np.stack([SPREAD] * 4))
GAMMA = Gamma(np.array([2.5, 0.7, 4.0]), np.array([1.0, 3.0, 0.5]))
WEIGHTS = Dirichlet(np.array([0.5, 2.0]))
CLASSES = Categorical(RNG.normal(size=(12, 2)))
COEFFICIENTS = NormalGamma(np.array([1.0, 0.0, -2.0]), SPREAD, np.array(2.5), np.array(1.5))
COMPONENTS = NormalWishart(
    RNG.normal(size=(2, 3)), np.array([0.5, 3.0]), np.array([4.0, 7.5]), np.stack([SPREAD] * 2)
)
FAMILIES = [NORMAL, VECTORS, GAMMA, WEIGHTS, CLASSES, COEFFICIENTS, COMPONENTS]
ONE = Normal(np.array(0.3), np.array(2.0))


def check_rise(ascent):
    trail = ascent.half_steps.ravel()
    assert (np.diff(trail) > -1e-8 * np.maximum(1, np.abs(trail[1:]))).all()
    assert ascent.log.converged
    assert_allclose(ascent.elbo, ascent.half_steps[:, -1])
