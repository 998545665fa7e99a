"""Coordinates, moves, temperatures and mixing, each against what mathematics says of it."""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import integrate, stats

from ppl_ext.correction.mixing import forgetting, measure_mixing, rank_normalize
from ppl_ext.correction.mixture import Mixture
from ppl_ext.correction.moves import Mover
from ppl_ext.correction.path import Path
from ppl_ext.correction.start import Part, Start, draw_heavy, heavy_log_density
from ppl_ext.correction.temperatures import (
    effective_share,
    next_temperature,
    pool_evidence,
    resample,
)
from ppl_ext.correction.transport import fit_transport
from tests.hall.targets import mixture

STEP = 1e-6


def differentiate(function, x):
    """Central differences, ``[draw, dim, ...]``."""
    axes = STEP * np.eye(x.shape[1])
    return np.stack([(function(x + e) - function(x - e)) / (2 * STEP) for e in axes], axis=1)


@pytest.fixture(scope="module")
def particles():
    """A funnel with a banana behind it."""
    rng = np.random.default_rng(0)
    v = 1.5 * rng.normal(size=(4096, 1))
    x = np.exp(v / 2) * rng.normal(size=(4096, 3))
    return np.column_stack([v, x, v**2 + rng.normal(size=(4096, 1))])


@pytest.fixture(scope="module")
def transport(particles):
    return fit_transport(particles, particles.mean(0), np.eye(5))


def test_the_map_has_the_inverse_and_determinant_it_claims(transport):
    w = np.random.default_rng(1).normal(size=(7, 5))
    z = transport.push(w)
    np.testing.assert_allclose(transport.pull(z), w, atol=1e-9)
    jacobian = differentiate(transport.push, w)
    np.testing.assert_allclose(np.linalg.slogdet(jacobian)[1], transport.log_det(w), atol=1e-6)


def test_the_map_pulls_gradients_back(transport):
    w = np.random.default_rng(2).normal(size=(7, 5))
    z = transport.push(w)
    value, slope = transport.value_and_slope(w, -0.5 * ((z - 1) ** 2).sum(1), 1 - z)

    def expected(w):
        return -0.5 * ((transport.push(w) - 1) ** 2).sum(1) + transport.log_det(w)

    np.testing.assert_allclose(slope, differentiate(expected, w), atol=1e-6)
    np.testing.assert_allclose(np.ptp(value - expected(w)), 0, atol=1e-9)


def test_the_map_makes_funnels_and_bananas_round(transport, particles):
    w = transport.pull(particles)
    np.testing.assert_allclose(np.cov(w.T), np.eye(5), atol=0.08)
    for column in w[:, 1:].T:
        assert abs(np.corrcoef(w[:, 0], np.abs(column))[0, 1]) < 0.1
        assert abs(np.corrcoef(w[:, 0] ** 2, column)[0, 1]) < 0.1


def test_the_order_of_coordinates_may_be_reversed(particles):
    backwards = particles[:, ::-1]
    w = fit_transport(backwards, backwards.mean(0), np.eye(5)).pull(backwards)
    for column in w[:, 1:4].T:
        assert abs(np.corrcoef(w[:, 4], np.abs(column))[0, 1]) < 0.1


def test_few_particles_leave_the_coordinates_given():
    loc, scale_tril = np.array([1.0, 2.0]), np.array([[2.0, 0.0], [1.0, 3.0]])
    same = fit_transport(np.tile(loc, (10, 1)), loc, scale_tril)
    np.testing.assert_allclose(same.push(np.eye(2)), loc + np.eye(2) @ scale_tril.T)


def test_the_heavy_normal_is_a_density_with_its_gradient():
    total, _ = integrate.quad(
        lambda x: np.exp(heavy_log_density(np.array([[x]]))[0][0]), -np.inf, np.inf
    )
    assert total == pytest.approx(1, abs=1e-6)
    e = 2 * np.random.default_rng(0).normal(size=(20, 3))
    numeric = differentiate(lambda e: heavy_log_density(e)[0], e)
    np.testing.assert_allclose(heavy_log_density(e)[1], numeric, atol=1e-6)


def test_the_heavy_normal_is_what_is_drawn():
    e = draw_heavy(200_000, 3, np.random.default_rng(0))
    normal = stats.multivariate_normal(np.zeros(3)).logpdf(e)
    weights = np.exp(normal - heavy_log_density(e)[0])
    assert weights.max() <= 2
    assert weights.mean() == pytest.approx(1, abs=0.01)
    assert np.average(e[:, 0] ** 2, weights=weights) == pytest.approx(1, abs=0.02)


def test_a_start_of_two_parts_is_normalised():
    near = Part(np.zeros(2), np.eye(2), np.log(0.3))
    far = Part(np.full(2, 8.0), np.array([[2.0, 0.0], [1.0, 1.0]]), np.log(0.7))
    start = Start((near, far))
    rng = np.random.default_rng(0)
    label = start.share_out(1000, rng)
    assert np.mean(label == 0) == pytest.approx(0.3, abs=0.001)
    z = start.draw(label, rng)
    assert np.median(z[label == 1, 0]) == pytest.approx(8, abs=0.3)
    log_density = start.log_density(z)
    numeric = differentiate(lambda z: start.log_density(z)[0], z)
    np.testing.assert_allclose(log_density[1], numeric, atol=1e-5)
    alone = np.exp(near.log_density(z)[0]) + np.exp(far.log_density(z)[0])
    np.testing.assert_allclose(np.exp(log_density[0]), alone)


def test_a_mixture_of_coordinates_is_normalised(transport):
    other = fit_transport(np.zeros((1, 5)), np.full(5, 9.0), 2 * np.eye(5))
    both = Mixture((transport, other), np.array([0.6, 0.4]))
    z, label = both.draw(100_000, np.random.default_rng(0))
    assert np.mean(label) == pytest.approx(0.4, abs=0.001)
    truth = stats.multivariate_normal(np.full(5, 9.0), 4 * np.eye(5))
    assert np.isfinite(z).all()
    near = (np.abs(z) < 1e6).all(1)
    weights = np.exp(truth.logpdf(z[near]) - both.log_density(z[near]))
    assert weights.sum() / len(z) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("leap", [False, True])
def test_moves_leave_the_density_as_it_is(transport, leap):
    """Draws of a known mixture, moved in coordinates that do not suit it, remain its draws."""
    target = mixture([[0.0] * 5, [1.5, 0.0, 0.0, 0.0, 0.0]], [0.6, 0.4])
    rng = np.random.default_rng(0)
    count = 8192
    z = rng.normal(size=(count, 5))
    z[:, 0] += 1.5 * (rng.uniform(size=count) < 0.4)
    path = Path(target.log_density, Start((Part(np.zeros(5), np.eye(5)),)))
    other = fit_transport(np.zeros((1, 5)), np.array([1.0, 0, 0, 0, 0]), np.eye(5))
    both = Mixture((transport, other), np.array([0.5, 0.5]))
    mover = Mover(path, 1.0, both, step=0.3)
    particles = mover.relabel(path.visit(z, np.zeros(count, dtype=int)), rng)
    for _ in range(10):
        particles, trip = (mover.leap if leap else mover.move)(particles, rng)
    assert trip.acceptance > 0.05
    assert np.mean(particles.z != z) > 0.3
    first = 0.6 * stats.norm.cdf(np.sort(particles.z[:, 0]))
    first += 0.4 * stats.norm.cdf(np.sort(particles.z[:, 0]), 1.5)
    assert np.abs(first - (np.arange(count) + 0.5) / count).max() < 1.63 / np.sqrt(count)
    assert stats.kstest(particles.z[:, 3], "norm").pvalue > 0.01


def test_moves_halfway_leave_the_geometric_mean():
    """``N(0, 1)^(1/2) N(2, 1)^(1/2)`` is ``N(1, 1)``; the start's own heavier half is not far."""

    def log_density(z):
        heavy, slope = heavy_log_density(z)
        away = z - 2
        other = -0.5 * (away**2).sum(1)
        return 2 * other - heavy, -2 * away - slope

    path = Path(log_density, Start((Part(np.zeros(1), np.eye(1)),)))
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4096, 1))
    identity = fit_transport(np.zeros((1, 1)), np.zeros(1), np.eye(1))
    mover = Mover(path, 0.5, Mixture((identity,), np.ones(1)), step=0.5)
    particles = path.visit(z, np.zeros(4096, dtype=int))
    for _ in range(20):
        particles, _ = mover.move(particles, rng)
    assert stats.kstest(particles.z[:, 0], stats.norm(2.0, 1.0).cdf).pvalue > 0.01


def test_temperatures_keep_half_of_the_particles():
    log_weights = np.random.default_rng(0).normal(scale=5.0, size=(8, 4096))
    found = next_temperature(log_weights, 0.0, 0.5)
    # Weights exp(t x) with x ~ N(0, 25) keep exp(-25 t^2) of the particles.
    assert found == pytest.approx(np.sqrt(np.log(2)) / 5, abs=0.01)
    assert next_temperature(0.1 * log_weights, 0.5, 0.5) == 1
    assert next_temperature(np.full((8, 10), -np.inf), 0.0, 0.5) is None
    assert effective_share(np.zeros((2, 10))).tolist() == pytest.approx([1, 1])


def test_resampling_is_in_proportion_and_within_islands():
    rng = np.random.default_rng(0)
    kind = rng.permuted(np.tile(np.arange(4), (2, 250)), axis=1)
    weights = np.array([0.1, 0.2, 0.3, 0.4])[kind]
    rows, log_ratios = resample(np.log(weights), 1.0, rng)
    assert (rows[:1000] < 1000).all()
    assert (rows[1000:] >= 1000).all()
    assert np.bincount(kind.ravel()[rows]) / 2000 == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.005)
    np.testing.assert_allclose(log_ratios, np.log(0.25))


def test_an_island_that_died_is_peopled_again():
    log_weights = np.zeros((3, 100))
    log_weights[1] = -np.inf
    rows, log_ratios = resample(log_weights, 1.0, np.random.default_rng(0))
    assert log_ratios[1] == -np.inf
    assert not set(rows[100:200]) & set(range(100, 200))
    assert pool_evidence(log_ratios)[0] == pytest.approx(np.log(2 / 3))


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_rhat_is_that_of_arviz(shift):
    rng = np.random.default_rng(0)
    states = rng.standard_t(3, size=(2, 8, 200, 1))
    states[:, 3] += shift
    # Islands and halves of the time are the chains, which ArviZ would split once more.
    chains = np.moveaxis(states[..., 0], 1, 0).reshape(16, 200)
    expected = max(
        float(array_stats.rhat(x, chain_axis=0, draw_axis=1, method="identity"))
        for x in (
            rank_normalize(y.reshape(-1, 1)).reshape(16, 200)
            for y in (chains, np.abs(chains - np.median(chains)))
        )
    )
    # The two values next to the median are equally far from it: ties, broken either way.
    assert measure_mixing(states).rhat[0] == pytest.approx(expected, abs=1e-4)
    assert (expected > 1.01) == (shift > 0)


def test_the_effective_number_counts_repetition_and_disagreement():
    rng = np.random.default_rng(0)
    fresh = rng.normal(size=(10, 8, 100, 1))
    assert measure_mixing(fresh).ess[0] == pytest.approx(8000, rel=0.2)
    repeated = np.repeat(fresh[:1], 10, axis=0)
    assert measure_mixing(repeated).ess[0] == pytest.approx(800, rel=0.2)
    apart = fresh + np.linspace(-1, 1, 8)[:, None, None]
    assert measure_mixing(apart).ess[0] < 200


def test_forgetting_is_the_rank_correlation():
    rng = np.random.default_rng(0)
    before = rng.standard_cauchy(size=(2000, 2))
    after = np.column_stack([before[:, 0] ** 3, rng.normal(size=2000)])
    np.testing.assert_allclose(forgetting(before, after), [1, 0], atol=0.07)
