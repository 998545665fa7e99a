"""Normalised densities with moments in closed form: Gaussians, bent, funnelled and ring-shaped."""

import numpy as np
from scipy.integrate import quad
from scipy.special import digamma, gammaln, polygamma

from zoo.target import Target, build

__all__ = [
    "banana",
    "funnel",
    "gaussian",
    "log_gamma",
    "normal_gamma",
    "ring",
    "student_t",
    "wave",
]

LOG_2PI = np.log(2 * np.pi)


def gaussian(dim: int, condition: float, seed: int = 0) -> Target:
    """A Gaussian of random orientation whose variances spread evenly over ``condition``."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    variances = np.geomspace(1.0, condition, dim)
    mean = 10 * rng.normal(size=dim)
    precision = (axes / variances) @ axes.T
    constant = -0.5 * (dim * LOG_2PI + np.log(variances).sum())

    def log_density(z):
        score = (mean - z) @ precision
        return constant + 0.5 * ((z - mean) * score).sum(-1), score

    sd = np.sqrt(((axes**2) * variances).sum(-1))
    return build(f"gaussian d={dim} condition={condition:g}", log_density, mean, sd, dim=dim)


def bent(name: str, width: float, noise: float, bend, slope, variance: float) -> Target:
    """``x ~ N(0, width^2)`` and ``y ~ N(bend(x), noise^2)`` with ``E[bend] = 0``."""
    constant = -LOG_2PI - np.log(width * noise)

    def log_density(z):
        x, residual = z[:, 0], (z[:, 1] - bend(z[:, 0])) / noise
        gradient = np.stack([-x / width**2 + residual / noise * slope(x), -residual / noise], 1)
        return constant - 0.5 * (x / width) ** 2 - 0.5 * residual**2, gradient

    sd = np.array([width, np.sqrt(noise**2 + variance)])
    return build(name, log_density, np.zeros(2), sd, dim=2)


def banana(bend: float) -> Target:
    return bent(
        f"banana bend={bend:g}",
        width=1.0,
        noise=1.0,
        bend=lambda x: bend * (x**2 - 1),
        slope=lambda x: 2 * bend * x,
        variance=2 * bend**2,
    )


def wave(frequency: float) -> Target:
    return bent(
        f"wave frequency={frequency:g}",
        width=1.0,
        noise=0.5,
        bend=lambda x: np.sin(frequency * x),
        slope=lambda x: frequency * np.cos(frequency * x),
        variance=0.5 * (1 - np.exp(-2 * frequency**2)),
    )


def funnel(width: float, dim: int) -> Target:
    """Neal's funnel: ``v ~ N(0, width^2)`` and ``dim - 1`` values ``x ~ N(0, exp(v))``."""
    count = dim - 1
    constant = -0.5 * dim * LOG_2PI - np.log(width)

    def log_density(z):
        v, x = z[:, 0], z[:, 1:]
        precision = np.exp(-v)
        squares = (x**2).sum(-1) * precision
        log_p = constant - 0.5 * (v / width) ** 2 - 0.5 * count * v - 0.5 * squares
        slope = -v / width**2 - 0.5 * count + 0.5 * squares
        return log_p, np.concatenate([slope[:, None], -x * precision[:, None]], 1)

    sd = np.array([width] + count * [np.exp(width**2 / 4)])
    return build(f"funnel width={width:g} d={dim}", log_density, np.zeros(dim), sd, dim=dim)


def student_t(df: float, dim: int) -> Target:
    """A multivariate Student-t, all coordinates under one heavy tail."""
    constant = gammaln((df + dim) / 2) - gammaln(df / 2) - 0.5 * dim * np.log(df * np.pi)

    def log_density(z):
        stretch = 1 + (z**2).sum(-1) / df
        gradient = -(df + dim) / df * z / stretch[:, None]
        return constant - 0.5 * (df + dim) * np.log(stretch), gradient

    sd = np.full(dim, np.sqrt(df / (df - 2)) if df > 2 else np.inf)
    return build(f"student-t df={df:g} d={dim}", log_density, np.zeros(dim), sd, dim=dim)


def log_gamma(shape: float, dim: int, *, on_log_scale: bool = True) -> Target:
    """Independent logarithms of ``Gamma(shape, 1)`` variables, judged as logs or as they are."""

    def log_density(z):
        rate = np.exp(z)
        return (shape * z - rate - gammaln(shape)).sum(-1), shape - rate

    if on_log_scale:
        name, mean, variance, constrain = "log-gamma", digamma(shape), polygamma(1, shape), None
    else:
        name, mean, variance = "gamma", shape, shape

        def constrain(z):
            return {"z": np.exp(z)}

    return build(
        f"{name} shape={shape:g} d={dim}",
        log_density,
        np.full(dim, mean),
        np.full(dim, np.sqrt(variance)),
        dim=dim,
        constrain=constrain,
    )


def ring(radius: float, width: float) -> Target:
    """A ring in the plane: ``radius`` is Gaussian up to the Jacobian of polar coordinates."""

    def moment(power: int) -> float:
        low, high = max(0.0, radius - 12 * width), radius + 12 * width
        return quad(
            lambda r: r**power * np.exp(-0.5 * ((r - radius) / width) ** 2),
            low,
            high,
            epsabs=0,
            epsrel=1e-12,
        )[0]

    def log_density(z):
        distance = np.maximum(np.sqrt((z**2).sum(-1)), 1e-300)
        residual = (distance - radius) / width
        return -0.5 * residual**2, -(residual / width / distance)[:, None] * z

    sd = np.full(2, np.sqrt(0.5 * moment(3) / moment(1)))
    return build(
        f"ring radius={radius:g} width={width:g}",
        log_density,
        np.zeros(2),
        sd,
        dim=2,
        log_evidence=float(np.log(2 * np.pi * moment(1))),
    )


def normal_gamma(num_data: int) -> Target:
    """Mean and log scale of a normal sample under flat priors, the simplest easy posterior."""
    df = num_data - 1.0
    centre, spread = 50.0, 7.0  # mean and sum of squares over n - 1 of the sample

    def log_density(z):
        residual, precision = z[:, 0] - centre, np.exp(-2 * z[:, 1])
        squares = df * spread**2 + num_data * residual**2
        log_p = -num_data * z[:, 1] - 0.5 * squares * precision
        slopes = [-num_data * residual * precision, squares * precision - num_data]
        return log_p, np.stack(slopes, 1)

    # df spread^2 / sigma^2 ~ chi^2(df) and, given sigma, mean ~ N(centre, sigma^2 / n).
    half = 0.5 * df
    mean = np.array([centre, 0.5 * (np.log(half * spread**2) - digamma(half))])
    sd = np.array([spread * np.sqrt(df / (df - 2) / num_data), 0.5 * np.sqrt(polygamma(1, half))])
    evidence = 0.5 * (LOG_2PI - np.log(num_data)) + gammaln(half) - np.log(2)
    evidence -= half * np.log(half * spread**2)
    return build(
        f"normal sample n={num_data}", log_density, mean, sd, dim=2, log_evidence=evidence
    )
