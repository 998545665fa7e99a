"""The checks of the benchmark of calibration, with a posterior that is known."""

import npe_calibration
import numpy as np
import pytest


@pytest.fixture(scope="module")
def known():
    """Truths of a linear Gaussian model, and their posteriors."""
    rng = np.random.default_rng(0)
    truths = rng.normal(size=(400, 2))
    middle = rng.normal(truths)[:, None] / 2

    def log_q(z):
        return -((z - middle) ** 2).sum(-1) - np.log(np.pi)

    draws = middle + np.sqrt(0.5) * rng.normal(size=(400, 200, 2))
    return npe_calibration.Posterior(draws, log_q), truths


def test_a_right_posterior_meets_the_targets(known):
    judged = npe_calibration.judge(*known)
    assert judged["sbc_p"] > 0.01
    assert judged["coverage_p"] > 0.01


@pytest.mark.parametrize("spoil", [npe_calibration.narrow, npe_calibration.shift])
def test_a_spoilt_posterior_is_caught_by_both(known, spoil):
    right, truths = known
    spoilt = spoil(right)
    # Densities stay those of the draws: as many nats as draws are drawn together, on average.
    factor = npe_calibration.NARROW if spoil is npe_calibration.narrow else 1.0
    entropy = right.log_q(right.draws).mean() - spoilt.log_q(spoilt.draws).mean()
    assert entropy == pytest.approx(2 * np.log(factor), abs=1e-6)
    judged = npe_calibration.judge(spoilt, truths)
    assert judged["sbc_p"] < 0.01
    assert judged["coverage_p"] < 0.01
    assert abs(judged["deviation"]) > npe_calibration.DEVIATION


def test_a_failure_is_told():
    (row,) = npe_calibration.format_rows("slcp", {"failure": "no reason"})
    assert row[:2] == ("slcp", "failed: no reason")
