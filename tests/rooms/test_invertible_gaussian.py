"""The invertible Gaussian relaxation: its density by quadrature, its divergence in closed form."""

import numpy as np
from scipy import integrate

from tests.rooms.test_gumbel import kl_divergence
from tests.rooms.test_relaxed import build, draw


def make(host, temperature=0.7, loc=0.3, scale=1.2):
    return build(
        host,
        "InvertibleGaussian",
        temperature=temperature,
        loc=np.array([loc]),
        scale=np.array([scale]),
    )


def test_density_integrates_to_one(host):
    r = np.linspace(-16.0, 16.0, 4001)
    x = np.stack([1 / (1 + np.exp(-r)), 1 / (1 + np.exp(r))], -1)
    density = np.exp(np.asarray(make(host).log_prob(host.array(x)), dtype=float))
    assert abs(integrate.trapezoid(density * x.prod(-1), r) - 1) < 1e-5


def test_density_of_three_classes_integrates_to_one(host):
    relaxed = build(
        host,
        "InvertibleGaussian",
        temperature=0.9,
        loc=np.array([0.3, -0.5]),
        scale=np.array([0.7, 1.1]),
    )
    r = np.linspace(-11.0, 11.0, 301)
    grid = np.stack([*np.meshgrid(r, r, indexing="ij"), np.zeros((301, 301))], -1)
    x = np.exp(grid) / np.exp(grid).sum(-1, keepdims=True)
    density = np.exp(np.asarray(relaxed.log_prob(host.array(x)), dtype=float))
    total = integrate.trapezoid(integrate.trapezoid(density * x.prod(-1), r), r)
    assert abs(total - 1) < 1e-4


def test_own_draws_have_a_finite_density(host):
    relaxed = build(
        host, "InvertibleGaussian", temperature=0.01, loc=np.zeros(9), scale=np.ones(9)
    )
    value, log_prob = draw(host, relaxed, (1000,))
    assert (np.asarray(value) == 0).any()
    assert np.isfinite(np.asarray(log_prob)).all()
    assert np.abs(np.asarray(value).astype(float).sum(-1) - 1).max() < 5e-7


def test_divergence(host):
    """The integral over the log-ratio, at two temperatures."""
    p, q = make(host), make(host, 0.5, -0.2, 0.9)
    r = np.linspace(-12.0, 12.0, 4001)
    x = host.array(np.stack([1 / (1 + np.exp(-r)), 1 / (1 + np.exp(r))], -1))
    log_p, log_q = (np.asarray(each.log_prob(x), dtype=float) for each in (p, q))
    weight = np.exp(log_p) * np.asarray(x, dtype=float).prod(-1)
    truth = integrate.trapezoid(weight * (log_p - log_q), r)
    np.testing.assert_allclose(kl_divergence(host, p, q), truth, rtol=1e-4)
    assert abs(kl_divergence(host, p, p)) < 1e-7
