"""What only Pyro asks of guides; the rest is in ``tests/rooms/test_guide_contract.py``."""

import gc

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import JitTrace_ELBO
from scipy import stats

import ppl_ext.pyro as px
from ppl_ext.pyro.guides import AutoMeanField
from tests.hosts import MAKERS
from tests.pyro.guide_cases import GUIDES, Y, schools, train
from tests.rooms.guide_rows import (
    DIM,
    ROWS,
    Mixed,
    Placed,
    covariance_of,
    find_coordinates,
    to_numpy,
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_log_prob_of_values(row):
    placed = Placed(MAKERS["pyro"](), row.name, Mixed("pyro"), np.asarray(Y))
    loc, scale = np.linspace(-1.0, 1.0, DIM), row.scale(DIM)
    placed.set_gaussian(loc, scale)
    values = placed.guide.sample_posterior(sample_shape=(50,))
    z, jacobian = find_coordinates(to_numpy(values))
    expected = stats.multivariate_normal(loc, covariance_of(scale)).logpdf(z) - jacobian
    # The bijection onto the simplex loses digits in float32.
    np.testing.assert_allclose(placed.guide.log_prob(values), expected, atol=2e-3)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.filterwarnings("ignore:.*torch.jit.:DeprecationWarning")
def test_the_compiled_elbo_steps(row):
    guide = getattr(px, row.name)(schools)
    elbo = JitTrace_ELBO(ignore_jit_warnings=True)
    losses = train(schools, guide, Y, steps=60, lr=row.rate, elbo=elbo)
    assert np.isfinite(losses).all()
    assert np.median(losses[-20:]) < np.median(losses[:5])


def moving():
    top = pyro.sample("top", dist.LogNormal(0.0, 1.0))
    pyro.sample("x", dist.Uniform(0.0, top))


@pytest.mark.parametrize("guide_class", GUIDES)
def test_values_on_a_support_that_depends_on_another_site_have_no_log_prob(guide_class):
    guide = guide_class(moving).setup()
    with pytest.raises(ValueError, match="'x'"):
        guide.log_prob(guide.sample_posterior(sample_shape=(3,)))


def test_fixed_bounds_given_as_tensors_do_not_move():
    def model():
        pyro.sample("x", dist.Uniform(torch.zeros(2), torch.tensor(3.0)).to_event(1))

    guide = AutoMeanField(model).setup()
    assert not guide._moving


def test_dropped_guides_are_freed():
    guide = AutoMeanField(schools).setup(Y)
    parameter = next(guide.parameters())
    del guide
    gc.collect()
    assert len(gc.get_referrers(parameter)) <= 1
