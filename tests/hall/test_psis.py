"""Pareto-smoothed weights against tails of known shape."""

import numpy as np
import pytest
from arviz_stats.base.array import array_stats

from ppl_ext.draws import smooth_weights


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_khat_is_the_shape_of_the_tail(shape):
    # exp(shape * exponential) is Pareto with tail index 1 / shape; ArviZ's sign must be turned.
    khats = [
        smooth_weights(shape * np.random.default_rng(seed).standard_exponential(20_000)).khat
        for seed in range(10)
    ]
    assert np.mean(khats) == pytest.approx(shape, abs=0.05)


def test_weights_sum_to_one_and_keep_their_order():
    log_weights = np.random.default_rng(0).normal(size=5000)
    smoothed = smooth_weights(log_weights + 1e4)
    assert smoothed.weights.sum() == pytest.approx(1.0)
    assert np.array_equal(np.argsort(smoothed.log_weights), np.argsort(log_weights))


@pytest.mark.parametrize("noise", [0.0, 1e-9])
def test_equal_weights_are_a_perfect_guide(noise):
    log_weights = -7 + noise * np.random.default_rng(0).normal(size=2000)
    smoothed = smooth_weights(log_weights)
    assert smoothed.khat == -np.inf
    assert smoothed.ess == pytest.approx(2000)


def test_a_guide_over_a_discrete_site_has_no_tail():
    log_weights = np.random.default_rng(0).choice([0.0, 0.5, 2.0], size=2000)
    smoothed = smooth_weights(log_weights)
    assert smoothed.khat == -np.inf
    assert np.allclose(smoothed.weights, np.exp(log_weights) / np.exp(log_weights).sum())


def test_a_draw_without_density_has_no_weight():
    log_weights = np.random.default_rng(0).normal(size=2000)
    log_weights[7] = -np.inf
    assert smooth_weights(log_weights).weights[7] == 0


def test_a_handful_of_weights_has_no_tail_to_trust():
    log_weights = np.full(2000, -np.inf)
    log_weights[:3] = [0.0, 1.0, 2.0]
    smoothed = smooth_weights(log_weights)
    assert smoothed.khat == np.inf
    assert smoothed.ess < 3


def test_equal_weights_with_an_outlier_promise_nothing():
    log_weights = np.zeros(5000)
    log_weights[0] = 8.0
    assert smooth_weights(log_weights).khat > 0.7


@pytest.mark.parametrize(
    ("log_weights", "message"),
    [
        (np.zeros((2, 2)), "shape"),
        (np.array([0.0, np.nan]), "1 of 2 log weights are NaN"),
        (np.array([0.0, np.inf]), "1 of 2 log weights are NaN or"),
        (np.array([-np.inf, -np.inf]), "every draw has weight zero"),
    ],
)
def test_what_is_no_weight_is_refused(log_weights, message):
    with pytest.raises(ValueError, match=message):
        smooth_weights(log_weights)


@pytest.mark.parametrize("size", [30, 1000, 20_001])
@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_arviz_smooths_alike(size, spread):
    log_weights = spread * np.random.default_rng(0).normal(size=size)
    # ArviZ takes log likelihoods and negates them itself.
    theirs, khat = array_stats.psislw(-log_weights)
    ours = smooth_weights(log_weights)
    assert ours.khat == pytest.approx(float(khat), rel=1e-9)
    assert np.allclose(ours.log_weights, theirs, rtol=1e-9, atol=1e-9)
