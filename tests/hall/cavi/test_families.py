"""Families of factors against SciPy: statistics, entropies, densities."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from tests.hall.cavi.examples import (
    CLASSES,
    COEFFICIENTS,
    COMPONENTS,
    FAMILIES,
    GAMMA,
    NORMAL,
    SPREAD,
    VECTORS,
    WEIGHTS,
)


def name_type(each):
    return type(each).__name__


@pytest.mark.parametrize("family", FAMILIES, ids=name_type)
def test_statistics_are_the_slopes_of_the_normalizer(family):
    natural = family.natural()
    again = type(family).from_natural(*natural)
    for there, back in zip(natural, again.natural(), strict=True):
        assert_allclose(back, there, rtol=1e-10, atol=1e-12)
    for which, statistic in enumerate(family.expect()):
        direction = np.random.default_rng(which).normal(size=np.shape(statistic))
        if direction.ndim > 1 and direction.shape[-1] == direction.shape[-2] == 3:
            direction = direction + np.swapaxes(direction, -1, -2)
        step, ends = 1e-5, []
        for sign in (1, -1):
            moved = list(natural)
            moved[which] = moved[which] + sign * step * direction
            ends.append(type(family).from_natural(*moved).log_normalizer().sum())
        slope = (ends[0] - ends[1]) / (2 * step)
        assert_allclose(slope, np.sum(statistic * direction), rtol=1e-6, atol=1e-6)


def test_entropies():
    for family, truth in [
        (NORMAL, stats.norm(0, NORMAL.precision**-0.5).entropy()),
        (GAMMA, stats.gamma(GAMMA.shape, scale=1 / GAMMA.rate).entropy()),
        (WEIGHTS, stats.dirichlet(WEIGHTS.concentration).entropy()),
        (VECTORS, 4 * stats.multivariate_normal(np.zeros(3), VECTORS.covariance[0]).entropy()),
        (CLASSES, stats.entropy(CLASSES.expect()[0], axis=1)),
    ]:
        assert_allclose(family.entropy(), np.sum(truth), rtol=1e-10)


def test_joint_densities():
    w, tau = np.array([0.3, -0.2, 0.4]), 1.7
    statistics = np.log(tau), tau, tau * w, tau * np.outer(w, w)
    ours = sum(np.sum(n * t) for n, t in zip(COEFFICIENTS.natural(), statistics, strict=True))
    cov = np.linalg.inv(tau * SPREAD)
    truth = stats.multivariate_normal(COEFFICIENTS.mean, cov).logpdf(w)
    truth += stats.gamma(2.5, scale=1 / 1.5).logpdf(tau)
    assert_allclose(ours - COEFFICIENTS.log_normalizer(), truth, rtol=1e-10)
    matrix = 2 * np.linalg.inv(SPREAD) + np.eye(3)
    statistics = np.linalg.slogdet(matrix)[1], matrix, matrix @ w, w @ matrix @ w
    for row in range(2):
        natural = [each[row] for each in COMPONENTS.natural()]
        ours = sum(np.sum(n * t) for n, t in zip(natural, statistics, strict=True))
        cov = np.linalg.inv(COMPONENTS.count[row] * matrix)
        truth = stats.multivariate_normal(COMPONENTS.mean[row], cov).logpdf(w)
        truth += stats.wishart(COMPONENTS.dof[row], SPREAD).logpdf(matrix)
        assert_allclose(ours - COMPONENTS.log_normalizer()[row], truth, rtol=1e-10)
