"""Location-scale sites in coordinates between centred and non-centred: the same posterior."""

import numpy as np
import pytest

from ppl_ext.gaussian_vi import solve_full_rank, solve_mean_field
from ppl_ext.gaussian_vi.location_scale import PartialCentering
from tests.rooms.hierarchies import (
    ERRORS,
    FAST,
    GROUPS,
    SCHOOLS,
    data,
    hierarchy,
    host_reparam,
    schools,
    ways_of,
)

RNG = np.random.default_rng(5)
PRIORS = {
    "normal": lambda dist: dist.Normal,
    "student": lambda dist: lambda loc, scale: dist.StudentT(4.0, loc, scale),
    "cauchy": lambda dist: dist.Cauchy,
    "laplace": lambda dist: dist.Laplace,
    "gumbel": lambda dist: dist.Gumbel,
    "lognormal": lambda dist: dist.LogNormal,
}


@pytest.fixture(scope="module")
def ways(host):
    return ways_of(host)


@pytest.mark.parametrize("event", [False, True], ids=["plate", "event"])
@pytest.mark.parametrize("name", PRIORS)
def test_the_density_is_that_of_a_change_of_variables(host, ways, name, event):
    y, sd = data(host, 1.0)
    written = ways.bind(hierarchy(host, PRIORS[name](host.dist), event=event), y, sd)
    centering = PartialCentering(RNG.uniform(size=GROUPS), RNG.uniform(0.5, 2.0, GROUPS))
    centred = ways.bind(written.model, y, sd).centred({"theta": centering})
    z = 0.5 * RNG.normal(size=(4, 2 + GROUPS))
    loc, scale = z[:, :1], np.exp(z[:, 1:2])
    ratio = (scale / centering.unit) ** (1 - centering.degree)
    x = loc + ratio * (z[:, 2:] - centering.degree * loc)
    before, after = ways.density_of(written), ways.density_of(centred)
    moved = np.concatenate([z[:, :2], x], axis=1)
    expected = before.log_p(moved) + np.log(ratio).sum(1)
    np.testing.assert_allclose(after.log_p(z), expected, rtol=2e-5, atol=2e-4)
    np.testing.assert_allclose(after.log_density(z)[0], expected, rtol=2e-5, atol=2e-4)
    for site, values in before.constrain(moved).items():
        np.testing.assert_allclose(after.constrain(z)[site], values, rtol=1e-4, atol=1e-4)


def test_the_coordinates_are_those_of_the_hosts_reparam(host, ways):
    handlers, reparam = host_reparam(host)
    y, sd = data(host, 1.0)
    model = hierarchy(host, host.dist.Normal)
    degree = np.linspace(0.0, 1.0, GROUPS)
    config = {"theta": reparam(host.array(degree))}
    theirs = ways.density_of(ways.bind(handlers.reparam(model, config=config), y, sd))
    centering = PartialCentering(degree, np.ones(GROUPS))
    ours = ways.density_of(ways.bind(model, y, sd).centred({"theta": centering}))
    z = RNG.normal(size=(4, 2 + GROUPS))
    np.testing.assert_allclose(ours.log_p(z), theirs.log_p(z), rtol=1e-5)
    np.testing.assert_allclose(
        ours.log_density(z)[1], theirs.log_density(z)[1], rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        ours.constrain(z)["theta"], theirs.constrain(z)["theta"], rtol=1e-5, atol=1e-5
    )


def test_a_mask_around_the_prior_stays(host, ways):
    y, sd = data(host, 1.0)
    mask = host.array(np.arange(GROUPS) % 2 == 0)
    plain = ways.bind(hierarchy(host, host.dist.Normal, lambda fn: fn.mask(mask)), y, sd)
    centering = PartialCentering(np.zeros(GROUPS), np.ones(GROUPS))
    after = ways.density_of(plain.centred({"theta": centering}))
    z = RNG.normal(size=(3, 2 + GROUPS))
    moved = z.copy()
    moved[:, 2:] = z[:, :1] + np.exp(z[:, 1:2]) * z[:, 2:]
    expected = ways.density_of(plain).log_p(moved) + GROUPS * z[:, 1]
    np.testing.assert_allclose(after.log_p(z), expected, rtol=2e-5)


@pytest.fixture(scope="module", params=[solve_full_rank, solve_mean_field])
def centred_fit(host, ways, request):
    """A fit in other coordinates, as `fit` would make it."""
    room = host.room
    bound = ways.bind(schools(host), host.array(SCHOOLS), host.array(ERRORS))
    other = bound.centred({"theta": PartialCentering(np.full(8, 0.1), np.full(8, 4.0))})
    density = ways.density_of(other)
    solution = request.param(density, FAST)
    kind = room.AutoMeanField if solution.scale.ndim == 1 else room.AutoFullRank
    guide, params = kind(other.model), {}
    if host.name == "pyro":
        host.random(guide.setup, host.array(SCHOOLS), host.array(ERRORS))
        guide.set_gaussian(solution.loc, solution.scale)
    else:
        host.random(guide.setup, host.array(SCHOOLS), host.array(ERRORS))
        params = guide.set_gaussian(solution.loc, solution.scale)
    return room.Fit(guide, params, solution.log, density, solution, other)


def quantiles_of(host, fitted, probabilities):
    if host.name == "pyro":
        return fitted.guide.quantiles(probabilities)
    return fitted.guide.quantiles(fitted.params, probabilities)


def test_the_guide_is_one_of_the_model_as_it_is_written(host, centred_fit):
    elbo = host.ppl.infer.Trace_ELBO(num_particles=200)
    call = schools(host), centred_fit.guide, host.array(SCHOOLS), host.array(ERRORS)
    if host.name == "pyro":
        loss = host.random(elbo.loss, *call)
    else:
        loss = host.random(elbo.loss, centred_fit.params, *call)
    assert abs(-float(loss) - centred_fit.solution.elbo) < 0.3


def test_draws_of_the_guide_are_draws_of_the_fit(host, centred_fit):
    draws = host.random(centred_fit.draws, 4000)
    assert list(draws.values) == ["mu", "tau", "theta"]
    assert draws.dims["theta"] == ("school",)
    assert list(host.random(centred_fit.to_datatree, 10).posterior) == ["mu", "tau", "theta"]
    levels = [0.1, 0.5, 0.9]
    found = quantiles_of(host, centred_fit, levels)
    for name, values in draws.values.items():
        expected = np.quantile(values, levels, axis=0)
        spread = values.std(axis=0)
        assert (np.abs(np.asarray(found[name]) - expected) < 0.15 * spread).all()


def test_a_fit_in_other_coordinates_is_saved_with_them(host, centred_fit, tmp_path):
    path = tmp_path / "fit.safetensors"
    centred_fit.save(path)
    back = host.room.load(path, schools(host), host.array(SCHOOLS), host.array(ERRORS))
    ours, theirs = (host.random(each.draws, 10) for each in (centred_fit, back))
    np.testing.assert_array_equal(theirs.values["theta"], ours.values["theta"])
    np.testing.assert_array_equal(theirs.log_p, ours.log_p)
