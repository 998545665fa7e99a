"""The banana: its density, and its reference over both coefficients."""

import math

import numpy as np
import pytest
from scipy import stats

from models.banana.data import LOG_EVIDENCE, NOISE, REFERENCE, SEEN


def joint(b, a):
    return stats.norm.pdf(SEEN, a + b**2, NOISE) * stats.norm.pdf(a) * stats.norm.pdf(b)


def test_the_density_is_that_of_scipy(host, worked):
    density = host.room.trace_density(worked("banana").model, host.array(SEEN))
    z = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_allclose(density.log_p(z), np.log(joint(z[:, 1], z[:, 0])), rtol=1e-5)


def integrate_joint(f):
    # The trapezoid rule is exact to rounding for a smooth peak that dies out at both ends.
    a, b = np.linspace(-8, 8, 801)[:, None], np.linspace(-5, 5, 801)
    return np.trapezoid(np.trapezoid(f(a, b) * joint(b, a), b), a[:, 0])


def test_the_evidence_is_the_quadrature():
    assert math.log(integrate_joint(lambda a, b: 1.0)) == pytest.approx(LOG_EVIDENCE, abs=1e-5)


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_reference_is_the_quadrature(name):
    def moment(power):
        return integrate_joint(lambda a, b: {"a": a, "b": b}[name] ** power)

    mean = moment(1) / math.exp(LOG_EVIDENCE)
    sd = math.sqrt(moment(2) / math.exp(LOG_EVIDENCE) - mean**2)
    assert mean == pytest.approx(REFERENCE.mean[name], abs=1e-5)
    assert sd == pytest.approx(REFERENCE.sd[name], rel=1e-5)
