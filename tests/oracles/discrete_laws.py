"""Densities, laws and supports of the discrete family, by mpmath, SciPy and enumeration."""

from collections import Counter
from itertools import permutations

import mpmath as mp
import numpy as np
from scipy import stats
from scipy.special import gammaln, logsumexp, psi, softmax

mp.mp.dps = 40


def concrete_log_density(logits, temperature, log_x) -> float:
    """Density of the log-ratios, Maddison et al. equation 22, on the face of possible classes."""
    pairs = [
        (mp.mpf(float(a)), mp.mpf(float(b)))
        for a, b in zip(logits, log_x, strict=True)
        if a > -np.inf
    ]
    tau, count = mp.mpf(float(temperature)), len(pairs)
    s = [a - tau * b for a, b in pairs]
    log_sum = mp.log(mp.fsum(mp.exp(each) for each in s))
    constant = mp.loggamma(count) + (count - 1) * mp.log(tau)
    return float(constant + mp.fsum(s) - count * log_sum)


def concrete_entropy(count, temperature) -> float:
    """Entropy of the log-ratios of that many possible classes."""
    constant = gammaln(count) + (count - 1) * np.log(temperature)
    return float(-constant - count * (psi(1) - psi(count)))


def enumerate_lists(logits, k) -> dict[tuple[int, ...], float]:
    """Probability of each list of different classes, class by class."""
    probs = np.exp(logits - logsumexp(logits))
    found = {}
    for order in permutations(np.flatnonzero(probs), k):
        left, found[order] = probs.copy(), 1.0
        for index in order:
            found[order] *= left[index] / left.sum()
            left[index] = 0.0
    return found


def judge_classes(value, logits) -> list[float]:
    """Judge how often each class is the largest."""
    probs = softmax(logits)
    counts = np.bincount(value.argmax(-1), minlength=len(logits))
    assert not counts[probs == 0].any()
    return [stats.chisquare(counts[probs > 0], probs[probs > 0] * len(value)).pvalue]


def judge_concrete(log_x, logits, temperature) -> list[float]:
    """Judge the noise, of which each share is a Beta whatever the parameters, and the classes."""
    possible = logits > -np.inf
    shares = softmax(logits[possible] - temperature * log_x[:, possible], -1)
    law = stats.beta(1, possible.sum() - 1)
    fits = [stats.kstest(share, law.cdf).pvalue for share in shares.T]
    return fits + judge_classes(log_x, logits)


def judge_lists(value, logits, k) -> list[float]:
    """Judge how often each list of classes is drawn."""
    lists = enumerate_lists(logits, k)
    counts = Counter(map(tuple, value.astype(int).tolist()))
    observed = np.array([counts[order] for order in lists])
    assert observed.sum() == len(value)
    return [stats.chisquare(observed, np.array(list(lists.values())) * len(value)).pvalue]


def log_of(x):
    with np.errstate(divide="ignore"):
        return np.log(x)


def is_simplex(x):
    return (x >= 0).all(-1) & (np.abs(x.sum(-1) - 1) < 1e-6)


def is_one_hot(z):
    return ((z == 0) | (z == 1)).all(-1) & (z.sum(-1) == 1)


def concrete_log_density_on_simplex(logits, temperature, x) -> float:
    log_x = log_of(x)
    return concrete_log_density(logits, temperature, log_x) - log_x[x > 0].sum()
