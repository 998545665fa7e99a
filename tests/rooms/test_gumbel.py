"""Gumbel: tails to the last digits, noise, and the tricks that stand on it.

Statistical tests have fixed seeds and fail falsely once in ten thousand.
"""

from contextlib import nullcontext
from importlib import import_module

import mpmath as mp
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import logsumexp

from tests.oracles.discrete import LOGITS
from tests.rooms.drawing import RARE, kl_divergence

EPS = float(np.finfo(np.float32).eps)
FUNCTIONS = {
    "cdf": lambda z: mp.exp(-mp.exp(-z)),
    "sf": lambda z: -mp.expm1(-mp.exp(-z)),
    "log_cdf": lambda z: -mp.exp(-z),
    "log_sf": lambda z: (
        mp.log1p(-mp.exp(-mp.exp(-z))) if z < 0 else mp.log(-mp.expm1(-mp.exp(-z)))
    ),
    "log_prob": lambda z: -z - mp.exp(-z),
}
INVERSES = {
    "icdf": lambda p: -mp.log(-mp.log(p)),
    "isf": lambda q: -mp.log(-mp.log1p(-q)),
    "icdf_from_log_cdf": lambda log_p: -mp.log(-log_p),
    "icdf_from_log_sf": lambda log_q: -mp.log(-mp.log1p(-mp.exp(log_q))),
}


def arguments(name) -> np.ndarray:
    """Points all over the range, in float32."""
    rng = np.random.default_rng(0)
    if name in FUNCTIONS:
        points = [rng.uniform(-4.4, 80.0, 200), rng.uniform(-4.4, 3.0, 200)]
    elif "log" in name:
        points = [
            -(10 ** rng.uniform(-5, 3, 200)),
            np.array([-0.45867, -0.4587]),
        ]
    else:
        near = np.exp(-1) + 10.0 ** np.arange(-7, -1)
        points = [10 ** rng.uniform(-37, -0.001, 200), rng.uniform(0, 0.9999999, 200), near]
    return np.concatenate(points).astype(np.float32)


@pytest.mark.parametrize("name", [*FUNCTIONS, *INVERSES])
def test_four_units_in_the_last_place(host, name):
    x = arguments(name)
    ours = np.asarray(getattr(host.room.distributions.Gumbel(0.0, 1.0), name)(host.array(x)))
    truth = [(FUNCTIONS | INVERSES)[name](mp.mpf(float(each))) for each in x]
    errors = [
        float(abs(mp.mpf(float(o)) - t) / abs(t)) / EPS
        for o, t in zip(ours, truth, strict=True)
        if abs(t) > 1.2e-38
    ]
    assert len(errors) > 150
    assert max(errors) < 4, x[int(np.argmax(errors))]


def test_ends(host):
    gumbel = host.room.distributions.Gumbel(0.0, 1.0)
    ends = host.array([0.0, 1.0])
    np.testing.assert_array_equal(gumbel.icdf(ends), [-np.inf, np.inf])
    np.testing.assert_array_equal(gumbel.isf(ends), [np.inf, -np.inf])


def test_divergence(host):
    Gumbel = host.room.distributions.Gumbel
    p, q = stats.gumbel_r(0.5, 2.0), stats.gumbel_r(1.0, 1.5)
    x = np.linspace(-6.0, 80.0, 20_001)
    truth = integrate.trapezoid(p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), x)
    ours = kl_divergence(host, Gumbel(0.5, 2.0), Gumbel(1.0, 1.5))
    np.testing.assert_allclose(ours, truth, rtol=1e-5)
    assert abs(kl_divergence(host, Gumbel(0.5, 2.0), Gumbel(0.5, 2.0))) < 1e-6


def test_noise_reaches_both_tails(host):
    noise = import_module(f"{host.room.__name__}.gumbel.noise")
    bits = 32 if host.name == "numpyro" else 64
    finest = 2.0 ** -(bits + 1)
    ends = noise.uniform_to_gumbel(host.array([0.5, finest, -finest, -0.5]))
    truth = [float(INVERSES["icdf"](mp.mpf(p))) for p in (0.5, finest)]
    np.testing.assert_allclose(ends[:2], truth, rtol=1e-6)
    np.testing.assert_allclose(ends[2], float(INVERSES["isf"](mp.mpf(finest))), rtol=1e-6)
    assert ends[2] > 22.8
    assert ends[1] < -3.1


@pytest.mark.parametrize("exact", [False, True])
def test_noise_is_gumbel(host, exact):
    noise = np.asarray(host.random(host.room.distributions.gumbel_noise, (100_000,), exact=exact))
    assert stats.kstest(noise, stats.gumbel_r.cdf).pvalue > RARE
    assert len(np.unique(noise)) > 95_000


@pytest.mark.parametrize(("dtype", "most"), [("float16", 1e-3), ("bfloat16", 1e-4)])
def test_noise_in_half_precision_has_the_law_of_rounded_gumbels(host, dtype, most):
    """The total variation, by enumeration: how many of the 2^32 random words each value has.

    Noise rises with the word below one half and falls with it above, so that the words up to a
    value are counted by bisection.
    """
    noise = import_module(f"{host.room.__name__}.gumbel.noise")

    def values(words, sign):
        uniform = sign * (words.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
        drawn = noise.uniform_to_gumbel(host.array(uniform))
        half = host.math.asarray(drawn, dtype=getattr(host.math, dtype))
        return np.asarray(host.math.asarray(half, dtype=host.math.float32))

    bits = np.arange(2**16, dtype=np.uint32)
    grid = bits.astype(np.uint16).view(np.float16) if dtype == "float16" else (bits << 16)
    grid = grid.astype(np.float32) if dtype == "float16" else grid.view(np.float32)
    grid = np.unique(grid[(grid > -3.5) & (grid < 24.0)])

    def count(sign):
        """Count the words with a value of at most each of the grid."""
        low, high = np.zeros(len(grid), np.int64), np.full(len(grid), 2**31)
        while (low < high).any():
            middle = (low + high) // 2
            at_most = values(np.minimum(middle, 2**31 - 1), sign) <= grid
            onward = at_most if sign > 0 else ~at_most
            onward &= low < high
            low, high = np.where(onward, middle + 1, low), np.where(onward, high, middle)
        return low if sign > 0 else 2**31 - low

    shares = np.diff((count(1) + count(-1)) / 2.0**32, prepend=0.0)
    ends = (grid[1:].astype(float) + grid[:-1]) / 2
    exact = np.diff(stats.gumbel_r.cdf(ends), prepend=0.0, append=1.0)
    assert abs(shares.sum() - 1) < 1e-9
    assert np.abs(shares - exact).sum() / 2 < most


def test_maximum_and_class_are_independent(host):
    logits = host.array(np.broadcast_to(LOGITS, (100_000, 4)).copy())
    maximum, index = host.random(host.room.distributions.gumbel_max, logits)
    maximum, index = np.asarray(maximum), np.asarray(index)
    probs = np.exp(LOGITS - logsumexp(LOGITS))
    counts = np.bincount(index, minlength=4)
    assert stats.chisquare(counts, probs * counts.sum()).pvalue > RARE
    assert stats.kstest(maximum, stats.gumbel_r(logsumexp(LOGITS)).cdf).pvalue > RARE
    table = [np.histogram(maximum[index == k], [-99, 1, 2, 3, 4, 99])[0] for k in range(4)]
    assert stats.chi2_contingency(np.array(table)).pvalue > RARE


def test_the_largest_is_drawn_as_often_as_softmax_says(host):
    """The integral of one score's density and the others' distribution functions, over z."""
    double = import_module("jax").enable_x64(True) if host.name == "numpyro" else nullcontext()
    z = np.linspace(-10.0, 60.0, 20_001)
    with double:
        wide = host.math.asarray(z[:, None], dtype=host.math.float64)
        gumbel = host.room.distributions.Gumbel(
            host.math.asarray(LOGITS, dtype=host.math.float64), 1.0
        )
        log_p, log_cdf = (np.asarray(each(wide)) for each in (gumbel.log_prob, gumbel.log_cdf))
    density = np.exp(log_p + log_cdf.sum(-1, keepdims=True) - log_cdf)
    largest = integrate.trapezoid(density, z, axis=0)
    np.testing.assert_allclose(largest, np.exp(LOGITS - logsumexp(LOGITS)), atol=1e-8)


def test_top_k_is_plackett_luce(host):
    logits = host.array(np.broadcast_to(LOGITS, (100_000, 4)).copy())
    perturbed, classes = host.random(host.room.distributions.gumbel_top_k, logits, 2)
    assert (np.diff(np.asarray(perturbed)) <= 0).all()
    probs = np.exp(LOGITS - logsumexp(LOGITS))
    pairs = {
        (i, j): probs[i] * probs[j] / (1 - probs[i]) for i in range(4) for j in range(4) if i != j
    }
    codes = np.asarray(classes) @ np.array([4, 1])
    counts = [np.sum(codes == 4 * i + j) for i, j in pairs]
    assert stats.chisquare(counts, np.array(list(pairs.values())) * len(codes)).pvalue > RARE


@pytest.mark.parametrize("k", [0, 5])
def test_top_k_refuses(host, k):
    with pytest.raises(ValueError, match="4 classes"):
        host.random(host.room.distributions.gumbel_top_k, host.array(LOGITS), k)


def test_posterior_gumbels(host):
    px = host.room.distributions
    index = host.random(px.sample_categorical, host.array(LOGITS), (50_000,), seed=1)
    logits = host.array(np.broadcast_to(LOGITS, (50_000, 4)).copy())
    perturbed = np.asarray(host.random(px.posterior_gumbels, logits, index))
    np.testing.assert_array_equal(perturbed.argmax(-1), index)
    for k in range(4):
        assert stats.kstest(perturbed[:, k] - LOGITS[k], stats.gumbel_r.cdf).pvalue > RARE
    correlation = np.corrcoef(perturbed.T) - np.eye(4)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(50_000)


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_posterior_gumbels_at_an_offset(host, offset):
    logits = host.array(np.append(LOGITS + offset, -np.inf))
    index = host.math.asarray(1)
    perturbed = np.asarray(
        host.random(host.room.distributions.posterior_gumbels, logits, index, (1000,))
    )
    assert np.isfinite(perturbed[:, :4]).all()
    assert (perturbed[:, 4] == -np.inf).all()
    assert (perturbed.argmax(-1) == 1).all()


@pytest.mark.parametrize(
    ("classes", "scale", "draws"),
    [(2, 1.0, 1_000_000), (10, 4.0, 500_000), (1000, 1.0, 200_000)],
)
def test_sample_categorical(host, classes, scale, draws):
    logits = scale * np.random.default_rng(3).normal(size=classes).astype(np.float32)
    index = host.random(host.room.distributions.sample_categorical, host.array(logits), (draws,))
    probs = np.exp(logits - logsumexp(logits.astype(float)))
    expected, counts = probs * draws, np.bincount(np.asarray(index), minlength=classes)
    rare = expected < 5
    pooled = [(*each[~rare], each[rare].sum()) for each in (counts, expected)]
    pooled = [row if expected[rare].sum() > 1 else row[:-1] for row in pooled]
    statistic = sum((c - e) ** 2 / e for c, e in zip(*pooled, strict=True))
    assert stats.chi2(len(pooled[0]) - 1).sf(statistic) > RARE


def test_sample_categorical_in_half_precision(host):
    logits = host.array(np.random.default_rng(3).normal(size=100))
    half = logits.bfloat16() if host.name == "pyro" else logits.astype("bfloat16")
    rounded = np.asarray(half.float() if host.name == "pyro" else half.astype("float32"))
    index = host.random(host.room.distributions.sample_categorical, half, (200_000,))
    counts = np.bincount(np.asarray(index), minlength=100)
    expected = np.exp(rounded - logsumexp(rounded.astype(float))) * 200_000
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > RARE


def test_straight_through_is_exact(host):
    soft = host.array([0.1, 0.7, 0.2])
    value = host.room.distributions.straight_through(host.array([0.0, 1.0, 0.0]), soft)
    np.testing.assert_array_equal(value, [0.0, 1.0, 0.0])


def test_schedule(host):
    schedule = host.room.distributions.ExponentialTemperature()
    values = [float(schedule(step)) for step in (0, 500, 1000, 5000)]
    np.testing.assert_allclose(values, [1.0, 0.5**0.5, 0.5, 0.5], rtol=1e-12)
    for step, value in ((500, values[1]), (5000, values[-1])):
        found = schedule(host.math.asarray(step))
        assert type(found) is type(host.math.asarray(step))
        np.testing.assert_allclose(found, value, rtol=1e-6)
    for name in ("start", "end", "steps"):
        with pytest.raises(ValueError, match=f"ExponentialTemperature: {name} is -1"):
            type(schedule)(**{name: -1.0})


@pytest.mark.parametrize("index", [2, 1, -1])
def test_posterior_gumbels_of_no_possible_class(host, index):
    logits = host.array(np.array([0.0, -np.inf]))
    with (
        host.ppl.validation_enabled(),
        pytest.raises(ValueError, match=r"posterior_gumbels: index has .*expected classes from 0"),
    ):
        host.random(host.room.distributions.posterior_gumbels, logits, host.array(np.array(index)))
