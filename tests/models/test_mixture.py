"""The mixture: the host's sum over the components, and the guides beside the exact posterior."""

import numpy as np
import pytest

from models.mixture.closed_form import ascend_mixture
from models.mixture.data import LOG_EVIDENCE, POINTS, PROBABILITIES


def evidence(host, program):
    """The host's own evidence: of a model that has no latent site."""
    pair, points = (program.summed, lambda points: None), host.array(POINTS)
    loss = host.ppl.infer.Trace_ELBO().loss
    if host.name == "pyro":
        return -loss(*pair, points)
    return -float(host.random(loss, {}, *pair, points))


def test_the_exact_posterior_is_that_of_the_hosts_sum(host, worked):
    assert evidence(host, worked("mixture")) == pytest.approx(LOG_EVIDENCE, rel=1e-5)


def test_the_closed_form_is_exact_where_components_are_known():
    ascent = ascend_mixture()
    found = ascent.factors["classes"].expect()[0]
    assert np.abs(found - PROBABILITIES).max() < 1e-5
    assert ascent.elbo[-1] == pytest.approx(LOG_EVIDENCE, abs=1e-4)
    assert ascent.elbo[-1] < LOG_EVIDENCE


def test_enumerated_assignments_come_to_the_exact_ones(host, worked):
    program = worked("mixture")
    elbo = host.room.DiscreteELBO(host.room.estimators.LocalExpectation())
    found = program.train(program.guide, elbo, steps=150)
    found = found[0] if isinstance(found, tuple) else found
    assert np.abs(found - PROBABILITIES).max() < 0.1


def test_the_relaxed_guide_is_told(host, worked):
    program = worked("mixture")
    pair = program.model, program.relaxed_guide, host.array(POINTS)
    with pytest.warns(host.room.RelaxedDensityWarning, match="'z'.*RelaxedOneHot"):
        host.random(host.room.check_densities, *pair)
