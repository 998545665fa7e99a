"""The pitcher: the closed form, the posterior by quadrature, and the gradient that steps break."""

import functools
import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from models.pitcher.data import (
    FAR,
    GRAVITY,
    HEIGHT,
    HEIGHTS,
    LANDED,
    LOG_EVIDENCE,
    LOG_EVIDENCES,
    NOISE,
    REFERENCE,
    WIND,
)


def land(speed, angle):
    """Solve height(t) = 0 as a polynomial in t, the fall of a ball that never lands early."""
    flight = np.roots([-GRAVITY / 2, speed * math.sin(angle), HEIGHT]).max()
    return speed * math.cos(angle) * flight


def joint(angle, speed):
    return stats.norm.pdf(LANDED[0], land(speed, angle), NOISE) / (10 * math.pi / 2)


def slope(host, function, speed, angle):
    """Automatic derivatives of a landing point with respect to speed and angle."""
    if host.name == "pyro":
        throw = host.math.tensor([speed, angle], requires_grad=True)
        function(*throw).backward()
        return throw.grad.numpy()
    import jax

    return np.array(jax.grad(function, argnums=(0, 1))(speed, angle))


def test_the_closed_form_lands_where_the_parabola_ends(host, worked):
    pitcher = worked("pitcher")
    speed, angle = np.random.default_rng(0).uniform([1, 0.1], [9, 1.5], size=(6, 2)).T
    landed = pitcher.landing(host.array(speed), host.array(angle))
    truth = [land(*throw) for throw in zip(speed, angle, strict=True)]
    np.testing.assert_allclose(np.asarray(landed), truth, rtol=1e-5)


@pytest.mark.parametrize(("time_step", "distance"), [(0.1, 3.53553), (0.001, 3.60624)])
def test_steps_land_short_and_close_in_as_they_shrink(host, worked, time_step, distance):
    throw = host.array(5.0), host.array(math.pi / 4)
    assert land(5.0, math.pi / 4) == pytest.approx(3.60793, abs=1e-5)
    stepped = worked("pitcher").stepped_landing(*throw, time_step=time_step)
    # Single precision adds up a thousand small steps.
    assert float(stepped) == pytest.approx(distance, abs=5e-5)


def test_the_closed_form_has_the_right_gradient(host, worked):
    found = slope(host, worked("pitcher").landing, 5.0, math.pi / 4)
    step = 1e-5
    truth = [
        (land(5 + step, math.pi / 4) - land(5 - step, math.pi / 4)) / (2 * step),
        (land(5, math.pi / 4 + step) - land(5, math.pi / 4 - step)) / (2 * step),
    ]
    np.testing.assert_allclose(found, truth, rtol=1e-4)
    np.testing.assert_allclose(found, [1.116, -1.638], atol=5e-4)


def test_steps_break_the_gradient(host, worked):
    """The number of steps n is constant to autodiff: it returns those of n dt v cos(angle)."""
    found = slope(host, worked("pitcher").stepped_landing, 5.0, math.pi / 4)
    flight = 10 * 0.1
    cosine = math.cos(math.pi / 4)
    np.testing.assert_allclose(found, [flight * cosine, -flight * 5 * cosine], rtol=1e-5)
    np.testing.assert_allclose(found, [0.707, -3.536], atol=5e-4)


def test_the_pathwise_gradient_of_the_steps_is_biased(host, worked):
    """d/dm E[landing(m + 0.5 e)], e normal: the mean itself rises as that of the closed form."""
    pitcher = worked("pitcher")
    noise = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)

    def mean_landing(m):
        speed = host.array(m + 0.5 * noise)
        return float(pitcher.stepped_landing(speed, host.array(np.full(4000, 0.7854))).mean())

    def pathwise(simulator):
        return slope(
            host,
            lambda m, angle: simulator(
                m + 0.5 * host.array(noise), angle + 0 * host.array(noise)
            ).mean(),
            5.0,
            0.7854,
        )[0]

    truth = (mean_landing(5.2) - mean_landing(4.8)) / 0.4
    assert truth == pytest.approx(1.1, abs=0.05)
    assert pathwise(pitcher.landing) == pytest.approx(truth, abs=0.05)
    assert pathwise(pitcher.stepped_landing) == pytest.approx(0.71, abs=0.03)


def test_the_report_sees_that_the_stepped_density_jumps(host, worked):
    pitcher = worked("pitcher")
    guide = host.room.AutoFullRank
    for simulator in (pitcher.landing, pitcher.stepped_landing):
        model = functools.partial(pitcher.model, simulator=simulator)
        landed = host.array(LANDED)
        fitted = host.random(host.room.fit, model, landed, guide=guide, progress_bar=False)
        jumps = fitted.report().details.jumps
        assert (jumps is None) == (simulator is pitcher.landing)
    assert jumps.sites == ("speed", "angle")
    assert "closed form" in str(fitted.report())


def test_the_density_is_that_of_scipy(host, worked):
    density = host.room.trace_density(worked("pitcher").model, host.array(LANDED))
    z = np.random.default_rng(0).normal(size=(5, 2))
    fraction = special.expit(z)
    throws = fraction * [10, math.pi / 2]
    log_jacobian = np.log(fraction * (1 - fraction) * [10, math.pi / 2]).sum(-1)
    truth = [np.log(joint(angle, speed)) for speed, angle in throws] + log_jacobian
    np.testing.assert_allclose(density.log_p(z), truth, rtol=1e-4)
    distance = [land(speed, angle) for speed, angle in throws]
    np.testing.assert_allclose(density.constrain(z)["distance"], distance, rtol=1e-4)


@pytest.mark.parametrize("name", ["speed", "angle"])
def test_the_reference_is_the_quadrature(name):
    def integrate_power(power):
        def moment(angle, speed):
            return {"speed": speed, "angle": angle}[name] ** power * joint(angle, speed)

        return integrate.dblquad(moment, 0, 10, 0, math.pi / 2, epsabs=1e-5)[0]

    evidence = integrate_power(0)
    mean = integrate_power(1) / evidence
    sd = math.sqrt(integrate_power(2) / evidence - mean**2)
    assert math.log(evidence) == pytest.approx(LOG_EVIDENCE, abs=1e-3)
    assert mean == pytest.approx(REFERENCE.mean[name], rel=1e-3)
    assert sd == pytest.approx(REFERENCE.sd[name], rel=1e-3)


@pytest.mark.parametrize(("site", "low", "high"), [("height", *HEIGHTS), ("push", None, None)])
def test_the_densities_of_the_variants_are_those_of_scipy(host, worked, site, low, high):
    """Height and wind enter the parabola; time is solved for anew."""
    name = {"height": "unknown_height", "push": "windy"}[site]
    density = host.room.trace_density(getattr(worked("pitcher"), name), host.array(LANDED))
    z = np.random.default_rng(0).normal(size=(5, 3))
    values = density.constrain(z)
    more = np.zeros(5)
    for i in range(5):
        speed, angle, extra = (float(values[each][i]) for each in ("speed", "angle", site))
        height, push = (extra, 0.0) if site == "height" else (HEIGHT, extra)
        flight = np.roots([-GRAVITY / 2, speed * math.sin(angle), height]).max()
        landed = speed * math.cos(angle) * flight + push * flight**2 / 2
        fraction = special.expit(z[i, 1:])
        more[i] = (
            stats.norm.logpdf(LANDED[0], landed, NOISE) + np.log(fraction * (1 - fraction)).sum()
        )
        if site == "height":
            inside = special.expit(z[i, 0])
            assert extra == pytest.approx(low + (high - low) * inside, rel=1e-5)
            more[i] += np.log(inside * (1 - inside))
        else:
            more[i] += stats.norm.logpdf(extra, 0, WIND)
    np.testing.assert_allclose(density.log_p(z), more, rtol=1e-4)


@pytest.mark.parametrize("place", [0, 1], ids=["near", "far"])
@pytest.mark.parametrize("name", sorted(LOG_EVIDENCES))
def test_the_evidences_are_the_quadratures(name, place):
    """By Simpson's rule on a grid of throws, given a grid of heights or pushes."""
    seen = (LANDED, FAR)[place][0]
    speed = np.linspace(0, 10, 401)[:, None]
    angle = np.linspace(0, math.pi / 2, 401)
    rise, run = speed * np.sin(angle), speed * np.cos(angle)

    def likelihood(height, push):
        flight = (rise + np.sqrt(rise**2 + 2 * GRAVITY * height)) / GRAVITY
        densities = stats.norm.pdf(seen, run * flight + push * flight**2 / 2, NOISE)
        return integrate.simpson(integrate.simpson(densities, x=angle), x=speed[:, 0]) / (
            10 * math.pi / 2
        )

    if name == "model":
        evidence = likelihood(HEIGHT, 0.0)
    elif name == "unknown_height":
        grid = np.linspace(*HEIGHTS, 21)
        evidence = integrate.simpson([likelihood(height, 0.0) for height in grid], x=grid)
    else:
        grid = np.linspace(-6 * WIND, 6 * WIND, 41)
        weights = stats.norm.pdf(grid, 0, WIND)
        evidence = integrate.simpson(weights * [likelihood(HEIGHT, push) for push in grid], x=grid)
    assert math.log(evidence) == pytest.approx(LOG_EVIDENCES[name][place], abs=0.01)


def test_a_neural_posterior_is_corrected_to_quadrature(host, worked):
    """A small network of any landing point is near; the density of the model brings it there."""
    npe = worked("pitcher").learn_posteriors(
        2000,
        host.room.npe.Training(max_epochs=6),
        estimator=host.room.npe.MixtureDensity,
    )
    posterior = npe.posterior(LANDED)
    assert REFERENCE.worst_mean_error(host.random(posterior.sample, 4000)) < 0.3
    settings = host.room.Correction(ess=500)
    answer = host.random(posterior.correct, settings, progress_bar=False)
    evidence, error = answer.log_evidence
    assert answer.ok, str(answer)
    assert abs(evidence - LOG_EVIDENCE) < max(0.02, 4 * error)
    assert REFERENCE.worst_mean_error(answer.draws.values) < 0.15
    # Where the ball lands far away it was fast: no throw below 7.4 m/s reaches 7 m.
    far = host.random(npe.posterior(np.array([7.0])).sample, 1000)["speed"]
    assert np.quantile(far, 0.1) > 6
