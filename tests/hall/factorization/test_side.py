"""The weights' Gamma posteriors and the packing of triangles, against SciPy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from ppl_ext.factorization import MatrixFactorization, simulate_ratings
from ppl_ext.factorization.model.hyperparameters import add_side
from ppl_ext.factorization.model.side_posterior import pack, unpack

RATINGS = simulate_ratings(num_users=60, num_items=30, density=0.3, seed=2).ratings
SIDE = MatrixFactorization(2, num_threads=1).fit(RATINGS, progress_bar=False).users


def add(side):
    counts = np.zeros(len(side))
    return add_side(side, counts, np.zeros(side.dim), np.eye(side.dim), 0.0)


def test_divergence_of_weights_is_an_integral():
    one = replace(SIDE, ids=SIDE.ids[:1], shape=np.array([7.0]), rate=np.array([5.0]))
    one = replace(one, concentration=3.0)
    q, p = stats.gamma(7, scale=1 / 5), stats.gamma(3, scale=1 / 3)
    expected = integrate.quad(lambda a: q.pdf(a) * (q.logpdf(a) - p.logpdf(a)), 1e-9, 12)[0]
    assert one.weight_divergence() == pytest.approx(expected, rel=1e-7)
    assert add(one).weight_divergence(3.0) == pytest.approx(expected, rel=1e-7)


def test_expected_log_weight_is_an_integral():
    one = replace(SIDE, ids=SIDE.ids[:1], shape=np.array([7.0]), rate=np.array([5.0]))
    expected = stats.gamma(7, scale=1 / 5).expect(np.log)
    assert one.expected_log_weights()[0] == pytest.approx(expected, rel=1e-7)


def test_learned_concentration_is_the_best():
    def loss(log_start):
        return replace(SIDE, concentration=float(np.exp(log_start))).weight_divergence()

    found = optimize.minimize_scalar(
        loss, bounds=(-2, 9), method="bounded", options={"xatol": 1e-9}
    )
    assert add(SIDE).learn_concentration() == pytest.approx(np.exp(found.x), rel=1e-5)


def test_equal_weights_end_at_the_limit():
    even = replace(SIDE, shape=np.full(60, 1e9), rate=np.full(60, 1e9))
    assert add(even).learn_concentration() == pytest.approx(1e4)


def test_packing_is_reversible():
    matrix = np.arange(18.0).reshape(2, 3, 3)
    matrix = matrix + matrix.transpose(0, 2, 1)
    assert np.array_equal(unpack(pack(matrix), 3), matrix)


def test_draws_have_the_moments_of_the_side():
    rows = np.array([4])
    draws = np.concatenate([SIDE.draw(np.random.default_rng(s), rows) for s in range(4000)])
    mean, cov = SIDE.means(rows)[0], SIDE.covariances(rows)[0]
    scale = np.sqrt(np.diag(cov))
    # 4,000 draws: means within 4 of their standard errors, covariances within 8 % of the scales.
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 4 * scale / np.sqrt(4000))
    assert np.all(np.abs(np.cov(draws.T) - cov) < 0.08 * np.outer(scale, scale))
