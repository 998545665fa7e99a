"""Errors of the Gumbel functions and of the relaxed density, the same for both hosts."""

import numpy as np
from mpmath import exp, expm1, log, log1p, mp, mpf
from scipy.special import gammaln, logsumexp

__all__ = ["judge_precision"]

FUNCTIONS = {
    "log_prob": lambda z: -z - exp(-z),
    "cdf": lambda z: exp(-exp(-z)),
    "log_cdf": lambda z: -exp(-z),
    "sf": lambda z: -expm1(-exp(-z)),
    "log_sf": lambda z: log(-expm1(-exp(-z))),
    "icdf": lambda p: -log(-log(p)),
    "isf": lambda q: -log(-log1p(-q)),
}
PROBABILITIES = np.concatenate([np.logspace(-37, -1, 400), np.linspace(0.1, 1, 400)[1:-1]])
POINTS = np.concatenate([np.linspace(-4.4, 5, 500), np.linspace(5, 80, 300)])


def judge_precision(gumbel, noise, relaxed, array):
    """List rows of a quantity, what was found, its target, and whether that is a lower limit.

    Args:
        gumbel: Distribution of a precision, the standard one.
        noise: The map from signed uniforms to noise.
        relaxed: From temperature and logits to draws on the log-simplex and their density.
        array: From NumPy to the host.
    """
    with mp.workdps(120):
        for dtype, limit in ((np.float32, 4), (np.float64, 8)):
            for name, truth in FUNCTIONS.items():
                points = PROBABILITIES if name in ("icdf", "isf") else POINTS
                points = points.astype(dtype)
                found = np.asarray(getattr(gumbel(dtype), name)(array(points)))
                ulps, relative = _errors(found, [truth(mpf(float(x))) for x in points])
                title = f"Gumbel {name}, {np.dtype(dtype).name}"
                yield f"{title}: units in the last place", ulps, limit, False
                if dtype == np.float32:
                    yield f"{title}: relative error", relative, 2.4e-7, False
    for bits, name, lowest, highest in ((33, "fast", -3, 21), (65, "exact", -3, 40)):
        ends = np.asarray(noise(array(np.array([2.0**-bits, -(2.0**-bits)], np.float32))))
        yield f"{name} noise reaches down to", float(ends[0]), lowest, False
        yield f"{name} noise reaches up to", float(ends[1]), highest, True
    rng = np.random.default_rng(0)
    for classes, temperature, scale in ((10, 0.05, 1.0), (1000, 0.5, 30.0), (1000, 5.0, 1.0)):
        logits = (scale * rng.standard_normal(classes)).astype(np.float32)
        y, found = (np.asarray(each, float) for each in relaxed(temperature, array(logits)))
        terms = logits - float(np.float32(temperature)) * y
        terms = terms - logsumexp(terms, axis=-1, keepdims=True)
        constant = gammaln(classes), (classes - 1) * np.log(float(np.float32(temperature)))
        error = np.abs(found - sum(constant) - terms.sum(-1))
        size = sum(map(abs, constant)) + np.abs(terms).sum(-1)
        where = f"log-simplex density, {classes} classes, temperature {temperature:g}"
        yield f"{where}: eps of its terms", float((error / size).max() / 2.0**-23), 4, False
        if temperature == 5:
            yield f"{where}: error", float(error.max()), 3e-5, False


def _errors(found, truth):
    """Return the largest error in units in the last place, and relative, of normal numbers."""
    exact = np.array([float(each) for each in truth])
    with np.errstate(under="ignore"):
        normal = np.abs(exact) >= np.finfo(found.dtype).tiny
    spacing = np.spacing(np.abs(exact).astype(found.dtype)).astype(float)
    error = np.array([float(abs(mpf(float(x)) - y)) for x, y in zip(found, truth, strict=True)])
    return float((error / spacing)[normal].max()), float((error / np.abs(exact))[normal].max())
