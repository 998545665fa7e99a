"""The comparison of estimators finds what enumeration knows."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from tests.oracles import paths

RARE = 1e-5  # rate of false alarms of one test
KNOWN = [
    ("StraightThrough", {}, paths.straight_through),
    ("ReinMax", {}, paths.reinmax),
    ("ReinMax", {"temperature": 1.3}, partial(paths.reinmax, temperature=1.3)),
    ("GappedStraightThrough", {}, partial(paths.gapped, temperature=1.0, gap=1.0)),
]


def test_it_finds_the_bias_and_variance_that_enumeration_knows(host):
    problem = paths.Problem(2, 4)
    inner, outer = host.array(problem.inner), host.array(problem.outer)
    px = host.room.estimators
    known = {
        repr(getattr(px, name)(**arguments)): (getattr(px, name)(**arguments), matrices)
        for name, arguments, matrices in KNOWN
    }
    report = host.random(
        px.compare_estimators,
        lambda z: host.math.tanh(z.reshape(*z.shape[:-2], -1) @ inner) @ outer,
        host.array(problem.logits),
        [*(each for each, _ in known.values()), px.LeaveOneOut(4)],
        num_draws=20_000,
    )
    np.testing.assert_allclose(report.expectation, problem.q @ problem.f, rtol=1e-5)
    np.testing.assert_allclose(report.gradient_norm, np.linalg.norm(problem.gradient), rtol=1e-5)
    for row in report.rows[:-1]:
        bias, variance = problem.moments(known[row.name][1])
        assert row.biased
        assert abs(row.relative_bias - bias) < stats.norm.isf(RARE / 2) * row.relative_bias_error
        np.testing.assert_allclose(row.variance, variance, rtol=0.06)
        assert row.evaluations == 1
    last = report.rows[-1]
    assert not last.biased
    assert last.evaluations == 4
    assert last.cosine > 0.99
    assert "LeaveOneOut" in report.advice
    assert "variance" in str(report)


def test_a_batch_and_its_default(host):
    logits = host.array(np.tile([0.3, -1.2, 2.0], (2, 2, 1)))
    f = lambda z: (z[..., 0, :] * z[..., 1, :]).sum(-1) ** 2  # noqa: E731
    report = host.random(host.room.estimators.compare_estimators, f, logits, num_draws=64)
    assert len(report.rows) >= 8
    assert report.num_draws == 64


def test_it_refuses_what_cannot_be_enumerated(host):
    logits = host.array(np.zeros((17, 2)))
    with pytest.raises(ValueError, match=r"2\^17 joint values; expected at most 100,000"):
        host.random(host.room.estimators.compare_estimators, lambda z: z.sum((-2, -1)), logits)
