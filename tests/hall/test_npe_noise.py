"""The noise that flows are given after their training, beside SciPy's t distribution."""

import numpy as np
import pytest
from scipy import stats

from ppl_ext.npe.noise import Noise, fit_noise


def normal_flow(e, scale=1.0):
    """Density and squared noise of pairs, ``[1, pair]``, under a flow that stretches."""
    noise = e / scale
    log_q = stats.norm.logpdf(noise).sum(-1) - e.shape[-1] * np.log(scale)
    return log_q[None], (noise**2).sum(-1)[None]


@pytest.mark.parametrize("dim", [1, 4])
def test_the_density_is_that_of_a_multivariate_t_distribution(dim):
    points = np.random.default_rng(0).normal(size=(20, dim))
    expected = stats.multivariate_t(shape=1.3**2 * np.eye(dim), df=7.0).logpdf(points)
    found = Noise(1.3, 7.0).log_prob((points**2).sum(-1), dim)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("scale", "df"), [(1.2, 6.0), (0.9, 15.0)])
def test_the_noise_of_pairs_is_found(scale, df):
    law = stats.multivariate_t(shape=scale**2 * np.eye(3), df=df)
    found = fit_noise(*normal_flow(law.rvs(40_000, random_state=0)), dim=3)
    assert abs(found.scale / scale - 1) < 0.02
    assert abs(np.log(found.df / df)) < 0.15


def test_pairs_of_the_flow_itself_ask_for_nothing():
    rng = np.random.default_rng(1)
    kept = [fit_noise(*normal_flow(rng.normal(size=(500, 3))), dim=3) for _ in range(100)]
    # Twice the gain is nearly chi-squared: .14 of the trials of two numbers gain two nats.
    assert sum(noise is not None for noise in kept) < 25


def test_the_noise_is_that_of_the_average_of_the_members():
    """Two flows that are each too narrow cover more together: found by trying every scale."""
    pairs = np.random.default_rng(2).normal(size=(5000, 1))
    centers, width = (-1.0, 1.0), 0.6
    flows = [normal_flow(pairs - center, width) for center in centers]
    log_q, squares = (np.concatenate(parts) for parts in zip(*flows, strict=True))
    found = fit_noise(log_q, squares, dim=1)

    def log_prob(scale):
        parts = [stats.t.pdf(pairs, found.df, center, scale * width) for center in centers]
        return np.log(np.mean(parts, axis=0)).sum()

    scales = np.linspace(0.8, 2.5, 171)
    assert abs(found.scale - scales[np.argmax([log_prob(scale) for scale in scales])]) < 0.011
    alone = fit_noise(log_q[:1], squares[:1], dim=1)
    assert found.scale < alone.scale


def test_pairs_without_a_density_are_left_out():
    log_q, squares = normal_flow(np.random.default_rng(3).normal(0, 1.3, size=(2000, 2)))
    expected = fit_noise(log_q, squares, dim=2)
    with_lost = [np.append(part, [[value]], 1) for part, value in ((log_q, -np.inf), (squares, 1))]
    assert fit_noise(*with_lost, dim=2) == expected
