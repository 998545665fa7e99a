"""Location-scale sites in other coordinates: the same posterior, and a better Gaussian."""

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import halfnorm, multivariate_normal

from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi import solve_full_rank, solve_mean_field
from ppl_ext.gaussian_vi.location_scale import PartialCentering
from ppl_ext.gaussian_vi.standard_draws import draw_standard_normal

RNG = np.random.default_rng(3)
SCHOOLS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
GROUPS = 6
TRUTH = RNG.normal(1.0, 0.7, GROUPS)
FAST = Deterministic(error_tolerance=0.1)
# From data that say everything about a group to data that say nothing.
UNLIKE = np.geomspace(0.05, 5.0, GROUPS)


@pytest.fixture(scope="module")
def ways(host) -> SimpleNamespace:
    """The functions of the room that a user does not see."""
    room = host.room.__name__
    bound_model = import_module(f"{room}.tracing.bound_model")
    return SimpleNamespace(
        bind=lambda model, *args: bound_model.bind_model("test", model, args, {}),
        density_of=import_module(f"{room}.tracing.density").density_of,
        reparameterise=import_module(f"{room}.reparameterisation").reparameterise,
    )


def hierarchy(host, prior, like=lambda fn: fn, event=False):
    """Groups around a common mean; ``prior(loc, scale)`` is that of a group."""
    ppl, dist = host.ppl, host.dist

    def model(y, sd):
        mu = ppl.sample("mu", dist.Normal(0.0, 2.0))
        tau = ppl.sample("tau", dist.HalfNormal(1.0))
        if event:
            loc = mu + 0 * y
            theta = ppl.sample("theta", like(prior(loc, tau)).to_event(1))
            ppl.deterministic("gap", theta - mu)
            ppl.sample("y", dist.Normal(theta, sd).to_event(1), obs=y)
            return
        with ppl.plate("group", len(y)):
            theta = ppl.sample("theta", like(prior(mu, tau)))
            ppl.deterministic("gap", theta - mu)
            ppl.sample("y", dist.Normal(theta, sd), obs=y)

    return model


def schools(host):
    """Eight schools, centred."""
    ppl, dist = host.ppl, host.dist

    def model(y, sd):
        mu = ppl.sample("mu", dist.Normal(0.0, 5.0))
        tau = ppl.sample("tau", dist.HalfCauchy(5.0))
        with ppl.plate("school", len(y)):
            theta = ppl.sample("theta", dist.Normal(mu, tau))
            ppl.sample("y", dist.Normal(theta, sd), obs=y)

    return model


def schools_noncentred(host):
    ppl, dist = host.ppl, host.dist

    def model(y, sd):
        mu = ppl.sample("mu", dist.Normal(0.0, 5.0))
        tau = ppl.sample("tau", dist.HalfCauchy(5.0))
        with ppl.plate("school", len(y)):
            raw = ppl.sample("raw", dist.Normal(0.0, 1.0))
            ppl.sample("y", dist.Normal(mu + tau * raw, sd), obs=y)

    return model


def host_reparam(host):
    """The host's handlers and its reparametrisation of location-scale sites."""
    handlers = import_module("pyro.poutine" if host.name == "pyro" else "numpyro.handlers")
    return handlers, import_module(f"{host.name}.infer.reparam").LocScaleReparam


def data(host, spread):
    spread = np.broadcast_to(spread, GROUPS)
    return host.array(TRUTH + spread * np.linspace(-1, 1, GROUPS)), host.array(spread)


def log_weights(density, solution, pairs=1024):
    """``log p - log q`` at draws on which nothing was fitted."""
    half = draw_standard_normal(pairs, density.dim, 99)
    noise = np.concatenate([half, -half])
    scale = solution.scale_tril
    log_q = -0.5 * (noise**2 + np.log(2 * np.pi)).sum(1) - np.log(np.diagonal(scale)).sum()
    return density.log_p(solution.loc + noise @ scale.T) - log_q


def evidence(y, sd):
    """Log evidence of the hierarchy with a normal prior, by quadrature over tau."""
    y, sd = np.asarray(y, dtype=float), np.asarray(sd, dtype=float)

    def joint(tau):
        covariance = np.diag(sd**2 + tau**2) + 4.0
        return halfnorm.pdf(tau) * multivariate_normal.pdf(y, np.zeros(len(y)), covariance)

    return np.log(quad(joint, 0.0, 12.0, epsabs=0.0, epsrel=1e-8)[0])


PRIORS = {
    "normal": lambda dist: dist.Normal,
    "student": lambda dist: lambda loc, scale: dist.StudentT(4.0, loc, scale),
    "cauchy": lambda dist: dist.Cauchy,
    "laplace": lambda dist: dist.Laplace,
    "gumbel": lambda dist: dist.Gumbel,
    "lognormal": lambda dist: dist.LogNormal,
}


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
    solution = solve_mean_field(density, FAST)
    other = ways.reparameterise(bound, density, solution)
    moved = ways.density_of(other)
    assert set(other.centering) == {"a", "b"}
    assert [site.dims for site in other.sites.latents] == [
        site.dims for site in bound.sites.latents
    ]
    after = log_weights(moved, solve_mean_field(moved, FAST))
    assert after.mean() > log_weights(density, solution).mean() + 0.1
