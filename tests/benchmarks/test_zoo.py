"""The truth about each target, found a second time."""

import numpy as np
import pytest
from scipy.integrate import quad
from zoo import list_targets, mixtures, models, shapes

TARGETS = list_targets()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_gradient_is_that_of_the_value(target):
    dim, step = target.density.dim, 1e-5
    z = np.random.default_rng(0).normal(size=(5, dim))
    _, gradient = target.density.log_density(z)
    ends = step * np.eye(dim)
    slopes = [(target.density.log_p(z + end) - target.density.log_p(z - end)) for end in ends]
    np.testing.assert_allclose(gradient, np.stack(slopes, 1) / (2 * step), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("target", "low", "high"),
    [
        (shapes.student_t(5, 1), -np.inf, np.inf),
        (shapes.log_gamma(0.3, 1), -80, 10),
        (mixtures.two_modes(6.0, 0.3, 1), -20, 20),
        (models.beta(0.5, 20), -100, 30),
        (models.truncated(-0.2, 0.1), -40, 10),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_moments_on_the_line(target, low, high):
    def integrate(power):
        def integrand(z):
            point = np.array([[z]])
            value = target.extract(target.density.constrain(point))[0, 0]
            return value**power * np.exp(target.density.log_p(point)[0])

        return quad(integrand, low, high, epsabs=1e-12, epsrel=1e-10, limit=500)[0]

    total, first, second = (integrate(power) for power in range(3))
    assert np.log(total) == pytest.approx(target.log_evidence, abs=1e-7)
    assert first / total == pytest.approx(target.mean[0], abs=1e-7)
    variance = second / total - (first / total) ** 2
    assert np.sqrt(variance) == pytest.approx(target.sd[0], rel=1e-6)


@pytest.mark.parametrize(
    ("target", "reach"),
    [
        (shapes.banana(0.2), 12.0),
        (shapes.wave(3.0), 12.0),
        (shapes.ring(3.0, 1.0), 14.0),
        (mixtures.cross(2.0), 20.0),
        (models.pitcher(), 40.0),
        (models.separated_logistic(2.5), 20.0),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_moments_in_the_plane(target, reach):
    nodes, weights = np.polynomial.legendre.leggauss(600)
    grid = reach * np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2)
    mass = reach**2 * np.outer(weights, weights).ravel() * np.exp(target.density.log_p(grid))
    total = mass.sum()
    values = target.extract(target.density.constrain(grid))
    mean = mass @ values / total
    sd = np.sqrt(mass @ (values - mean) ** 2 / total)
    assert np.log(total) == pytest.approx(target.log_evidence, abs=1e-5)
    np.testing.assert_allclose(mean, target.mean, atol=1e-5)
    np.testing.assert_allclose(sd, target.sd, rtol=1e-5)


def test_normal_sample_follows_from_the_posterior_of_its_variance():
    target = shapes.normal_gamma(20)
    rng = np.random.default_rng(0)
    variance = 19 * 49 / rng.chisquare(19, size=400_000)
    mean = 50 + np.sqrt(variance / 20) * rng.normal(size=400_000)
    draws = np.stack([mean, 0.5 * np.log(variance)], 1)
    np.testing.assert_allclose(draws.mean(0), target.mean, atol=0.01)
    np.testing.assert_allclose(draws.std(0), target.sd, rtol=0.01)


def test_horseshoe_is_one_model_in_two_coordinates():
    raw, centered = models.horseshoe(centered=False), models.horseshoe(centered=True)
    z = np.random.default_rng(0).normal(size=(3, 17))
    beta, scales = raw.density.constrain(z)["beta"], z[:, 8:]
    moved = np.concatenate([beta, scales], 1)
    jacobian = scales[:, :-1].sum(1) + 8 * scales[:, -1]
    expected = centered.density.log_p(moved) + jacobian
    np.testing.assert_allclose(raw.density.log_p(z), expected, rtol=1e-10)


def test_horseshoe_moments_by_draws_from_the_prior():
    """Scales from their prior, weighted by the likelihood that is left without coefficients."""
    target = models.horseshoe(centered=True)
    estimates = np.array([6.0, 4.0, 2.5, 1.0, 0.5, -0.3, -0.8, 0.1])
    rng = np.random.default_rng(0)
    tau = np.exp(rng.normal(target.mean[-1], 1.5 * target.sd[-1], size=4000))
    local = np.abs(rng.standard_cauchy(size=(4000, 8, 250)))
    variance = (tau[:, None, None] * local) ** 2
    density = np.exp(-0.5 * estimates[:, None] ** 2 / (1 + variance)) / np.sqrt(1 + variance)
    kept = variance / (1 + variance) * density
    log_weights = np.log(density.mean(2)).sum(1) + np.log(tau) - np.log1p(tau**2)
    log_weights += 0.5 * ((np.log(tau) - target.mean[-1]) / (1.5 * target.sd[-1])) ** 2
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    mean = weights @ (kept.mean(2) / density.mean(2) * estimates)
    np.testing.assert_allclose(mean, target.mean[:-1], atol=0.03)
    assert weights @ np.log(tau) == pytest.approx(target.mean[-1], abs=0.05)
