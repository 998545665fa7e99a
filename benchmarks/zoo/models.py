"""Small Bayesian models whose posterior can be integrated exactly or on a grid."""

from collections.abc import Callable

import numpy as np
from scipy.special import betaln, expit, log_expit, logsumexp
from scipy.stats import norm, truncnorm

from zoo.target import LogDensity, Target, build

__all__ = [
    "beta",
    "horseshoe",
    "ordinary_logistic",
    "pitcher",
    "separated_logistic",
    "truncated",
]


def integrate(
    log_density: LogDensity, values: Callable[[np.ndarray], np.ndarray], axes: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and sd of ``values(z)`` and the log integral, by the trapezoid rule on a plane.

    The rule converges faster than any power of the step for a smooth density that has vanished
    at the edges of the grid.
    """
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    log_p = log_density(grid)[0]
    total = logsumexp(log_p)
    weights, points = np.exp(log_p - total), values(grid)
    mean = weights @ points
    sd = np.sqrt(weights @ (points - mean) ** 2)
    return mean, sd, float(total + sum(np.log(axis[1] - axis[0]) for axis in axes))


def beta(successes: float, failures: float) -> Target:
    """A probability under ``Beta``, close to a boundary where one count is small; on the logit."""

    def log_density(z):
        z = z[:, 0]
        log_p = successes * log_expit(z) + failures * log_expit(-z) - betaln(successes, failures)
        return log_p, (successes * expit(-z) - failures * expit(z))[:, None]

    total = successes + failures
    mean = successes / total
    sd = np.sqrt(mean * (1 - mean) / (total + 1))
    return build(
        f"beta({successes:g}, {failures:g})",
        log_density,
        mean,
        sd,
        dim=1,
        constrain=lambda z: {"z": expit(z)},
    )


def truncated(observed: float, noise: float) -> Target:
    """A value in (0, 1) seen with Gaussian noise at ``observed``, inside or beyond a bound."""

    def log_density(z):
        z = z[:, 0]
        x = expit(z)
        jacobian = x * expit(-z)
        log_p = log_expit(z) + log_expit(-z) - 0.5 * ((x - observed) / noise) ** 2
        slope = 1 - 2 * x - (x - observed) / noise**2 * jacobian
        return log_p, slope[:, None]

    low, high = -observed / noise, (1 - observed) / noise
    truth = truncnorm(low, high, loc=observed, scale=noise)
    return build(
        f"bounded, seen at {observed:g}",
        log_density,
        truth.mean(),
        truth.std(),
        dim=1,
        log_evidence=np.log(noise * np.sqrt(2 * np.pi) * (norm.cdf(high) - norm.cdf(low))),
        constrain=lambda z: {"z": expit(z)},
    )


def logistic(
    name: str, predictors: np.ndarray, outcomes: np.ndarray, prior_sd: float, reach: float
) -> Target:
    """Logistic regression on one predictor with an intercept, integrated up to ``reach``."""
    design = np.column_stack([np.ones(len(predictors)), predictors])
    signed = design * (2 * outcomes - 1)[:, None]

    def log_density(z):
        margin = z @ signed.T
        log_p = log_expit(margin).sum(-1) - 0.5 * (z**2).sum(-1) / prior_sd**2
        return log_p, expit(-margin) @ signed - z / prior_sd**2

    axis = np.linspace(-reach, reach, 301)
    mean, sd, log_evidence = integrate(log_density, lambda z: z, [axis, axis])
    return build(name, log_density, mean, sd, dim=2, log_evidence=log_evidence)


def ordinary_logistic() -> Target:
    rng = np.random.default_rng(0)
    predictors = rng.normal(size=200)
    outcomes = (rng.uniform(size=200) < expit(0.3 + 0.8 * predictors)).astype(float)
    return logistic("logistic regression", predictors, outcomes, prior_sd=2.5, reach=3.0)


def separated_logistic(prior_sd: float) -> Target:
    predictors = np.array([-3.0, -2.0, -1.5, -0.5, 0.5, 1.0, 2.0, 2.5])
    name = f"separated logistic, prior sd {prior_sd:g}"
    outcomes = (predictors > 0).astype(float)
    return logistic(name, predictors, outcomes, prior_sd, reach=9 * prior_sd)


def pitcher() -> Target:
    """Speed and angle of a throw from where the ball landed: a crescent between four bounds."""
    gravity, height, noise, landed = 9.81, 1.5, 0.5, 3.301430
    top = np.array([10.0, np.pi / 2])

    def log_density(z):
        share = expit(z)
        speed, angle = (top * share).T
        sine, cosine = np.sin(angle), np.cos(angle)
        root = np.sqrt((speed * sine) ** 2 + 2 * gravity * height)
        airborne = (speed * sine + root) / gravity
        residual = (landed - speed * cosine * airborne) / noise
        # d airborne / d (speed sine) = airborne / root
        by_speed = cosine * airborne * (1 + speed * sine / root)
        by_angle = speed * airborne * (speed * cosine**2 / root - sine)
        slope = np.stack([by_speed, by_angle], 1) * top * share * expit(-z)
        log_p = (log_expit(z) + log_expit(-z)).sum(-1)
        log_p -= 0.5 * residual**2 + np.log(noise * np.sqrt(2 * np.pi))
        return log_p, 1 - 2 * share + (residual / noise)[:, None] * slope

    axis = np.linspace(-40, 40, 801)
    mean, sd, log_evidence = integrate(log_density, lambda z: top * expit(z), [axis, axis])
    return build(
        "pitcher",
        log_density,
        mean,
        sd,
        dim=2,
        log_evidence=log_evidence,
        constrain=lambda z: {"z": top * expit(z)},
    )


def horseshoe(*, centered: bool) -> Target:
    """Sparse regression on an orthonormal design: ``beta_j ~ N(0, (tau lambda_j)^2)``.

    Given the log scales the coefficients are Gaussian and independent, which leaves an integral
    over ``log lambda_j`` inside one over ``log tau``.
    """
    estimates = np.array([6.0, 4.0, 2.5, 1.0, 0.5, -0.3, -0.8, 0.1])
    count = len(estimates)
    half_cauchy = np.log(2 / np.pi)

    def log_half_cauchy(log_scale):
        """Density and slope of the logarithm of a half-Cauchy variable."""
        squashed = log_expit(-2 * log_scale)
        return half_cauchy + log_scale + squashed, 1 - 2 * expit(2 * log_scale)

    def coefficients(z):
        spread = np.exp(z[:, count:-1] + z[:, -1:])
        return z[:, :count] if centered else z[:, :count] * spread

    def log_density(z):
        raw, log_local, log_global = z[:, :count], z[:, count:-1], z[:, -1]
        spread = np.exp(log_local + log_global[:, None])
        local, local_slope = log_half_cauchy(log_local)
        shared, shared_slope = log_half_cauchy(log_global)
        residual = estimates - coefficients(z)
        log_p = local.sum(-1) + shared - 0.5 * (residual**2).sum(-1)
        log_p -= count * np.log(2 * np.pi)
        if centered:
            scaled = raw / spread
            log_p -= (0.5 * scaled**2 + np.log(spread)).sum(-1)
            raw_slope, spread_slope = residual - scaled / spread, scaled**2 - 1
        else:
            log_p -= 0.5 * (raw**2).sum(-1)
            raw_slope, spread_slope = residual * spread - raw, residual * raw * spread
        slopes = [raw_slope, local_slope + spread_slope]
        slopes.append((shared_slope + spread_slope.sum(-1))[:, None])
        return log_p, np.concatenate(slopes, 1)

    step = 0.1
    grid = np.arange(-35, 35, step)
    log_variance = 2 * (grid[:, None] + grid)  # [log tau, log lambda]
    marginal = np.logaddexp(0, log_variance)  # log of the variance of an estimate
    kept = expit(log_variance)[:, :, None]  # what shrinkage leaves of the estimate
    inner = -0.5 * (np.log(2 * np.pi) + marginal)[:, :, None]
    inner = inner - 0.5 * estimates**2 * np.exp(-marginal)[:, :, None]
    inner = inner + log_half_cauchy(grid)[0][:, None]
    likelihood = logsumexp(inner, axis=1) + np.log(step)  # [log tau, coefficient]
    share = np.exp(inner + np.log(step) - likelihood[:, None])
    outer = likelihood.sum(-1) + log_half_cauchy(grid)[0]
    log_evidence = logsumexp(outer) + np.log(step)
    weights = np.exp(outer + np.log(step) - log_evidence)
    mean = weights @ (share * kept * estimates).sum(1)
    second = weights @ (share * (kept + (kept * estimates) ** 2)).sum(1)
    log_tau = weights @ grid, np.sqrt(weights @ grid**2 - (weights @ grid) ** 2)
    return build(
        f"horseshoe {'centered' if centered else 'non-centered'}",
        log_density,
        np.append(mean, log_tau[0]),
        np.append(np.sqrt(second - mean**2), log_tau[1]),
        dim=2 * count + 1,
        log_evidence=float(log_evidence),
        constrain=lambda z: {"beta": coefficients(z), "log_tau": z[:, -1]},
        judged=("beta", "log_tau"),
    )
