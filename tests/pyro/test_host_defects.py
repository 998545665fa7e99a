"""Defects of the host's own guides, each measured on the host, that ours must not have."""

import copy
import pickle

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    SVI,
    TraceMeanField_ELBO,
)
from pyro.infer.autoguide import AutoGuideList, init_to_mean

from ppl_ext.pyro.guides import AutoFullRank, AutoMeanField
from tests.pyro.guide_cases import GUIDES, Y, schools, some_gaussian, train


def test_defect_3_rows_given_by_the_model_are_used():
    """The host's AutoNormal draws rows of its own here and learns nothing (rmse 1.77)."""
    size, batch = 40, 10
    truth = torch.linspace(-3.0, 3.0, size)

    def model(y, rows):
        with pyro.plate("data", size, subsample=rows):
            z = pyro.sample("z", dist.Normal(0.0, 10.0))
            pyro.sample("y", dist.Normal(z, 0.1), obs=y)

    guide = AutoMeanField(model, init_scale=0.1)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), TraceMeanField_ELBO())
    for _ in range(100):
        for rows in torch.randperm(size).split(batch):
            svi.step(truth[rows], rows)
    assert guide.median()["z"].shape == (size,)
    assert (guide.median()["z"] - truth).pow(2).mean().sqrt() < 0.2
    # Also a permutation of all rows, and a last batch of another size.
    trace = poutine.trace(guide).get_trace(truth.flip(0), torch.arange(size).flip(0))
    assert (trace.nodes["z"]["value"] - truth.flip(0)).abs().mean() < 0.5
    short = torch.arange(3)
    assert poutine.trace(guide).get_trace(truth[short], short).nodes["z"]["value"].shape == (3,)


def test_rows_drawn_by_the_plate_are_shared_with_the_model():
    truth = torch.linspace(-3.0, 3.0, 40)

    def model(y):
        with pyro.plate("data", 40, subsample_size=10) as rows:
            z = pyro.sample("z", dist.Normal(0.0, 10.0))
            pyro.sample("y", dist.Normal(z, 0.1), obs=y[rows])

    guide = AutoMeanField(model)
    train(model, guide, truth, steps=400, lr=0.1, elbo=TraceMeanField_ELBO())
    assert (guide.median()["z"] - truth).pow(2).mean().sqrt() < 0.2


def test_given_rows_within_a_guide_list_are_refused_or_taken_from_create_plates():
    def model(rows):
        pyro.sample("a", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 4, subsample=rows):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    rows = torch.tensor([1, 3])
    guide = AutoGuideList(model)
    guide.append(AutoMeanField(model))
    with pytest.raises(ValueError, match="create_plates"):
        guide(rows)

    def create_plates(rows):
        return pyro.plate("data", 4, subsample=rows, dim=-1)

    guide = AutoGuideList(model, create_plates=create_plates)
    guide.append(AutoMeanField(model))
    part = guide[0]
    guide(rows)
    part.set_gaussian(np.array([0.0, 10.0, 20.0, 30.0, 40.0]), 1e-4 * np.ones(5))
    np.testing.assert_allclose(guide(rows)["z"].detach(), [20.0, 40.0], atol=0.01)


@pytest.mark.parametrize("given", [True, False])
def test_defect_4_a_joint_guide_refuses_local_sites_in_a_minibatch(given):
    def model():
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        rows = {"subsample": torch.arange(3)} if given else {"subsample_size": 3}
        with pyro.plate("rows", 10, **rows):
            pyro.sample("local", dist.Normal(loc, 1.0))

    with pytest.raises(ValueError, match=r"'local' is local to plate 'rows'.*3 of 10"):
        AutoFullRank(model).setup()


@pytest.mark.parametrize("guide_class", GUIDES)
def test_a_joint_guide_takes_global_sites_beside_a_minibatch(guide_class):
    def model(y):
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 6, subsample_size=3) as rows:
            pyro.sample("y", dist.Normal(loc, 1.0), obs=y[rows])

    losses = train(model, guide_class(model), torch.ones(6), steps=5)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("guide_class", GUIDES)
def test_defect_5_two_guides_do_not_share_parameters(guide_class):
    def model(y):
        x = pyro.sample("x", dist.Normal(0.0, 10.0))
        pyro.sample("y", dist.Normal(x, 0.1), obs=y)

    first, second = guide_class(model), guide_class(model)
    train(model, first, torch.tensor(7.0), steps=200, lr=0.2)
    before = first.gaussian()[0]
    twin = copy.deepcopy(first)
    train(model, second, torch.tensor(-7.0), steps=200, lr=0.2)
    train(model, twin, torch.tensor(3.0), steps=200, lr=0.2)
    first(torch.tensor(0.0))  # reads the parameter store
    assert first.gaussian()[0] == before
    assert abs(before[0] - 7) < 0.5
    assert abs(second.gaussian()[0][0] + 7) < 0.5
    assert abs(twin.gaussian()[0][0] - 3) < 0.5
    assert not pyro.settings.get("module_local_params")


@pytest.mark.parametrize("guide_class", GUIDES)
def test_module_local_parameters_work_too(guide_class):
    with pyro.settings.context(module_local_params=True):
        losses = train(schools, guide_class(schools), Y, steps=5)
    assert np.isfinite(losses).all()
    assert not len(pyro.get_param_store())


def test_defect_11_analytic_divergence_on_real_supports():
    """Normal prior, Normal guide: the loss has no noise at all. The host's AutoNormal: sd 1.08."""

    def model():
        pyro.sample("x", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        with pyro.plate("p", 2):
            pyro.sample("z", dist.Normal(1.0, 2.0))

    guide = AutoMeanField(model)
    losses = [TraceMeanField_ELBO().loss(model, guide) for _ in range(5)]
    assert np.std(losses) == 0
    loc, scale = guide.gaussian()
    mean, sd = np.array([0, 0, 0, 1, 1]), np.array([1, 1, 1, 2, 2])
    divergence = np.log(sd / scale) + (scale**2 + (loc - mean) ** 2) / (2 * sd**2) - 0.5
    np.testing.assert_allclose(losses[0], divergence.sum(), rtol=1e-5)


@pytest.mark.parametrize("guide_class", GUIDES)
def test_defect_12_an_infinite_mean_is_no_start(guide_class):
    guide = guide_class(schools, init_loc_fn=init_to_mean).setup(Y)
    assert np.isfinite(guide.gaussian()[0]).all()
    assert np.isfinite(train(schools, guide, Y, steps=3)).all()


@pytest.mark.parametrize("guide_class", GUIDES)
def test_defect_13_pickling_leaves_the_live_guide_alone(guide_class):
    guide = guide_class(schools).setup(Y)
    guide(Y)
    twin = pickle.loads(pickle.dumps(guide))
    assert callable(guide.model)
    assert np.isfinite(train(schools, guide, Y, steps=2)).all()
    torch.manual_seed(1)
    twin.set_gaussian(*guide.gaussian())
    np.testing.assert_allclose(twin.median()["theta"], guide.median()["theta"])
    assert set(twin()) == {"mu", "tau", "theta", "weights"}


@pytest.mark.parametrize("guide_class", GUIDES)
def test_defect_14_a_state_dict_loads_into_a_fresh_guide(guide_class):
    trained = guide_class(schools).setup(Y)
    trained.set_gaussian(*some_gaussian(guide_class))
    fresh = guide_class(schools)
    fresh.load_state_dict(trained.state_dict())
    fresh(Y)  # the first call must not start the parameters anew
    for one, other in zip(fresh.gaussian(), trained.gaussian(), strict=True):
        np.testing.assert_array_equal(one, other)

    def other(y):
        pyro.sample("mu", dist.Normal(0.0, 1.0))

    stranger = guide_class(other)
    stranger.load_state_dict(trained.state_dict())
    with pytest.raises(ValueError, match="loaded state"):
        stranger(Y)
