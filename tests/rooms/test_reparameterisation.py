"""Coordinates of location-scale sites chosen by the bound: a better Gaussian, or none."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logsumexp

from ppl_ext.gaussian_vi import solve_full_rank, solve_mean_field
from tests.rooms.hierarchies import (
    ERRORS,
    FAST,
    GROUPS,
    SCHOOLS,
    data,
    evidence,
    hierarchy,
    host_reparam,
    log_weights,
    schools,
    schools_noncentred,
    ways_of,
)

RNG = np.random.default_rng(3)
# From data that say everything about a group to data that say nothing.
UNLIKE = np.geomspace(0.05, 5.0, GROUPS)


@pytest.fixture(scope="module")
def ways(host):
    return ways_of(host)


@pytest.mark.parametrize("solve", [solve_full_rank, solve_mean_field])
def test_the_evidence_stays_and_the_bound_rises(host, ways, solve):
    y, sd = data(host, 2.0)
    bound = ways.bind(hierarchy(host, host.dist.Normal), y, sd)
    density = ways.density_of(bound)
    solution = solve(density, FAST)
    moved = ways.density_of(ways.reparameterise(bound, density, solution))
    before, after = log_weights(density, solution), log_weights(moved, solve(moved, FAST))
    truth = evidence(y, sd)
    assert before.mean() + 0.1 < after.mean() < truth
    assert after.std() < before.std()
    weights = np.exp(after - after.max())
    error = weights.std() / weights.mean() / np.sqrt(len(after))
    assert abs(logsumexp(after) - np.log(len(after)) - truth) < 4 * error


def test_every_entry_has_the_degree_that_its_data_ask_for(host, ways):
    y, sd = data(host, UNLIKE)
    bound = ways.bind(hierarchy(host, host.dist.Normal), y, sd)
    density = ways.density_of(bound)
    other = ways.reparameterise(bound, density, solve_mean_field(density, FAST))
    degree = np.ravel(other.centering["theta"].degree)
    assert (np.diff(degree) < 0).all()
    assert degree[0] > 0.9
    assert degree[-1] < 0.1


@pytest.fixture(scope="module", params=[solve_full_rank, solve_mean_field])
def centred_schools(host, ways, request):
    """Centred eight schools, fitted and in other coordinates."""
    bound = ways.bind(schools(host), host.array(SCHOOLS), host.array(ERRORS))
    density = ways.density_of(bound)
    solution = request.param(density, FAST)
    other = ways.reparameterise(bound, density, solution)
    return SimpleNamespace(
        solve=request.param, bound=bound, density=density, solution=solution, other=other
    )


def test_sites_and_values_come_back_as_they_were_written(centred_schools, ways):
    bound, other = centred_schools.bound, centred_schools.other
    moved = ways.density_of(other)
    assert moved.sites == centred_schools.density.sites
    assert other.sites.valued == bound.sites.valued
    assert [site.dims for site in other.sites.latents] == [(), (), ("school",)]
    values = moved.constrain(np.zeros((5, moved.dim)))
    assert list(values) == ["mu", "tau", "theta"]
    assert values["theta"].shape == (5, 8)


def test_centred_eight_schools_fit_as_well_as_non_centred(host, ways, centred_schools):
    solve, solution = centred_schools.solve, centred_schools.solution
    twin = ways.density_of(
        ways.bind(schools_noncentred(host), host.array(SCHOOLS), host.array(ERRORS))
    )
    moved = ways.density_of(centred_schools.other)
    reached = solve(moved, FAST)
    after = log_weights(moved, reached).mean()
    assert after > log_weights(centred_schools.density, solution).mean() + 1.0
    assert after > log_weights(twin, solve(twin, FAST)).mean() - 0.1
    assert reached.log.gradients < solution.log.gradients


def test_coordinates_chosen_once_are_not_chosen_again(ways, centred_schools):
    other = centred_schools.other
    again = ways.reparameterise(other, ways.density_of(other), centred_schools.solution)
    assert again is None


def test_the_units_of_the_data_do_not_matter(host, ways, centred_schools):
    ppl, dist, unit = host.ppl, host.dist, 100.0

    def model(y, sd):
        mu = ppl.sample("mu", dist.Normal(0.0, 5.0 * unit))
        tau = ppl.sample("tau", dist.HalfCauchy(5.0 * unit))
        with ppl.plate("school", len(y)):
            theta = ppl.sample("theta", dist.Normal(mu, tau))
            ppl.sample("y", dist.Normal(theta, sd), obs=y)

    bound = ways.bind(model, host.array(unit * SCHOOLS), host.array(unit * ERRORS))
    solution = centred_schools.solution
    stretch = np.array([unit, 1.0, *[unit] * 8])
    shift = np.array([0.0, np.log(unit), *[0.0] * 8])
    scale = (stretch * solution.scale.T).T
    same = replace(solution, loc=stretch * solution.loc + shift, scale=scale)
    theirs = ways.reparameterise(bound, ways.density_of(bound), same).centering["theta"]
    ours = centred_schools.other.centering["theta"]
    np.testing.assert_allclose(theirs.degree, ours.degree, rtol=0.1)
    np.testing.assert_allclose(theirs.unit, unit * ours.unit, rtol=0.1)


def test_strong_data_leave_the_model_as_it_is_written(host, ways):
    y, sd = data(host, 0.01)
    bound = ways.bind(hierarchy(host, host.dist.Normal), y, sd)
    density = ways.density_of(bound)
    for solve in (solve_full_rank, solve_mean_field):
        assert ways.reparameterise(bound, density, solve(density, FAST)) is None


def test_without_data_a_funnel_becomes_a_gaussian(host, ways):
    ppl, dist, math = host.ppl, host.dist, host.math

    def funnel():
        v = ppl.sample("v", dist.Normal(0.0, 3.0))
        with ppl.plate("row", 5):
            ppl.sample("x", dist.Normal(0.0, math.exp(v / 2)))

    bound = ways.bind(funnel)
    density = ways.density_of(bound)
    other = ways.reparameterise(bound, density, solve_full_rank(density, FAST))
    moved = ways.density_of(other)
    assert abs(log_weights(moved, solve_full_rank(moved, FAST)).mean()) < 0.02


def test_priors_that_no_other_site_moves_do_not_qualify(host, ways):
    ppl, dist, math = host.ppl, host.dist, host.math

    def model(y):
        with ppl.plate("row", len(y)):
            x = ppl.sample("x", dist.Normal(0.0, 3.0))
            ppl.sample("y", dist.Poisson(math.exp(x)), obs=y)

    bound = ways.bind(model, host.array(np.array([0.0, 1.0, 7.0])))
    density = ways.density_of(bound)
    assert ways.reparameterise(bound, density, solve_full_rank(density, FAST)) is None


def test_a_reparam_of_the_user_stays(host, ways):
    handlers, reparam = host_reparam(host)
    config = {"theta": reparam(0.0)}
    model = handlers.reparam(schools(host), config=config)
    bound = ways.bind(model, host.array(SCHOOLS), host.array(ERRORS))
    density = ways.density_of(bound)
    assert ways.reparameterise(bound, density, solve_full_rank(density, FAST)) is None


def test_imputed_sites_are_left_alone(host, ways):
    ppl, dist = host.ppl, host.dist
    y, sd = data(host, UNLIKE)
    seen = host.array(np.arange(GROUPS) > 0)

    def model(y, sd):
        mu = ppl.sample("mu", dist.Normal(0.0, 2.0))
        tau = ppl.sample("tau", dist.HalfNormal(1.0))
        with ppl.plate("group", len(y)):
            theta = ppl.sample("theta", dist.Normal(mu, tau))
            ppl.sample("y", dist.Normal(theta, sd), obs=y, obs_mask=seen)

    bound = ways.bind(model, y, sd)
    density = ways.density_of(bound)
    other = ways.reparameterise(bound, density, solve_mean_field(density, FAST))
    assert list(other.centering) == ["theta"]


def test_sites_in_sites_each_have_their_degree(host, ways):
    ppl, dist = host.ppl, host.dist
    y = host.array(RNG.normal(size=(3, 3)) + RNG.normal(size=(3, 1)))

    def model(y):
        outer = ppl.sample("outer", dist.HalfNormal(1.0))
        inner = ppl.sample("inner", dist.HalfNormal(1.0))
        with ppl.plate("school", 3, dim=-2):
            a = ppl.sample("a", dist.Normal(0.0, outer))
            with ppl.plate("class", 3, dim=-1):
                b = ppl.sample("b", dist.Normal(a, inner))
                ppl.sample("y", dist.Normal(b, 1.0), obs=y)

    bound = ways.bind(model, y)
    density = ways.density_of(bound)
    once = replace(FAST, num_starts=1)
    solution = solve_mean_field(density, once)
    other = ways.reparameterise(bound, density, solution)
    moved = ways.density_of(other)
    assert set(other.centering) == {"a", "b"}
    assert [site.dims for site in other.sites.latents] == [
        site.dims for site in bound.sites.latents
    ]
    after = log_weights(moved, solve_mean_field(moved, once))
    assert after.mean() > log_weights(density, solution).mean() + 0.1
