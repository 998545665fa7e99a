"""Truncated Gumbels against mpmath, near the middle and far in the tails."""

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from tests.rooms.test_gumbel import RARE
from tests.rooms.test_relaxed import build, draw

EPS = float(np.finfo(np.float32).eps)
ENDS = [(None, -20.0), (None, -3.0), (None, 10.0), (-3.0, None), (60.0, None), (40.0, 41.0)]
ENDS += [(-2.0, 1.0), (5.0, 60.0), (-4.5, -4.0)]


class Truth:
    """The exponential that ``exp(-z)`` is, between the ends."""

    def __init__(self, lower, upper):
        self.least = mp.exp(-mp.mpf(upper)) if upper is not None else mp.mpf(0)
        self.width = mp.exp(-mp.mpf(lower)) - self.least if lower is not None else mp.inf
        self.mass = -mp.expm1(-self.width)

    def quantile(self, p):
        return -mp.log(self.least - mp.log1p(-(1 - p) * self.mass))

    def log_prob(self, z):
        return -z - (mp.exp(-z) - self.least) - mp.log(self.mass)

    def log_cdf(self, z):
        excess = mp.exp(-z) - self.least
        return mp.log((mp.exp(-excess) - mp.exp(-self.width)) / self.mass)

    def log_sf(self, z):
        return mp.log(-mp.expm1(-(mp.exp(-z) - self.least)) / self.mass)

    def moment(self, function):
        return mp.quad(lambda p: function(self.quantile(p)), [0, 0.001, 0.5, 0.999, 1])


def make(host, lower, upper):
    ends = {"lower": lower, "upper": upper}
    given = {name: np.array(end) for name, end in ends.items() if end is not None}
    return build(host, "TruncatedGumbel", loc=np.array(0.0), scale=np.array(1.0), **given)


@pytest.mark.parametrize(("lower", "upper"), ENDS)
def test_functions(host, lower, upper):
    """To eight units of the last place of one, or of the value where that is larger."""
    ours, truth = make(host, lower, upper), Truth(lower, upper)
    p = np.random.default_rng(0).uniform(0.001, 0.999, 40).astype(np.float32)
    z = [truth.quantile(mp.mpf(float(each))) for each in p]
    np.testing.assert_allclose(
        ours.icdf(host.array(p)), np.array(z, dtype=float), rtol=8 * EPS, atol=8 * EPS
    )
    inside = np.clip(
        np.array(z, dtype=np.float32), lower, upper, dtype=np.float32
    )  # rounded points of their own
    for name in ("log_prob", "log_cdf", "log_sf"):
        values = np.asarray(getattr(ours, name)(host.array(inside)), dtype=float)
        for at, value in zip(inside, values, strict=True):
            if upper is not None and at == np.float32(upper) and name == "log_sf":
                assert value == -np.inf
            else:
                exact = float(mp.re(getattr(truth, name)(mp.mpf(float(at)))))
                assert abs(value - exact) < 8 * EPS * (1 + abs(exact)), (name, at)


@pytest.mark.parametrize(("lower", "upper"), [ENDS[0], ENDS[3], ENDS[6]])
def test_moments(host, lower, upper):
    ours, truth = make(host, lower, upper), Truth(lower, upper)
    mean = truth.moment(lambda z: z)
    np.testing.assert_allclose(ours.mean, float(mean), rtol=1e-6)
    variance = float(truth.moment(lambda z: (z - mean) ** 2))
    np.testing.assert_allclose(ours.variance, variance, rtol=1e-4)
    entropy = float(-truth.moment(truth.log_prob))
    np.testing.assert_allclose(ours.entropy(), entropy, rtol=1e-5)


@pytest.mark.parametrize(("lower", "upper"), [(None, -1.0), (8.0, None), (-1.0, 2.0)])
def test_draws(host, lower, upper):
    value, log_prob = draw(host, make(host, lower, upper), (20_000,))
    assert np.isfinite(np.asarray(log_prob)).all()
    whole = stats.gumbel_r.cdf
    least = 0.0 if lower is None else whole(lower)
    most = 1.0 if upper is None else whole(upper)
    result = stats.kstest(np.asarray(value), lambda x: (whole(x) - least) / (most - least))
    assert result.pvalue > RARE


def test_beyond_the_ends_nothing_happens(host):
    ours = build(host, "TruncatedGumbel", loc=np.array(0.0), upper=np.array(1.0))
    if host.name == "pyro":
        with pytest.raises(ValueError, match="support"):
            ours.log_prob(host.array(2.0))
    else:
        with pytest.warns(UserWarning, match="Out-of-support"):
            assert float(ours.log_prob(host.array(2.0))) == -np.inf
    assert float(ours.cdf(host.array(2.0))) == 1.0
    assert float(ours.sf(host.array(2.0))) == 0.0
