"""The model written out with dense matrices, one rating at a time: what the kernels must equal."""

import numpy as np
from scipy import stats
from scipy.special import gammaln, psi


def second_moments(means, covariances):
    return covariances + means[:, :, None] * means[:, None, :]


def design(means, covariances, bias):
    """Mean and second moment of the vector that multiplies (w, 1) in a rating, per row.

    With biases a rating is ``(u, b, 1) . (v, 1, c)``, else ``(u, 1) . (v, 0)``.
    """
    rows, dim = means.shape
    k = dim - 1 if bias else dim
    mean = np.zeros((rows, dim + 1))
    cov = np.zeros((rows, dim + 1, dim + 1))
    where = [*range(k), dim] if bias else [*range(k)]
    mean[:, where] = means
    cov[np.ix_(range(rows), where, where)] = covariances
    if bias:
        mean[:, k] = 1
    return mean, second_moments(mean, cov)


def update_row(ratings, mean, second, weights, precision, pull, tau, own_weight):
    """The Gaussian conditional of one row from its joint quadratic form, by plain solving."""
    dim = len(pull)
    quadratic = np.zeros((dim + 1, dim + 1))
    linear = np.zeros(dim + 1)
    for r, m, s, g in zip(ratings, mean, second, weights, strict=True):
        quadratic += g * s
        linear += g * r * m
    lambda_ = precision + tau * own_weight * quadratic[:dim, :dim]
    right = pull + tau * own_weight * (linear - quadratic[:, dim])[:dim]
    return np.linalg.solve(lambda_, right), lambda_


def expected_error(rating, user, item):
    """``E[(rating - x . y)^2]`` from mean and second moment of x and y."""
    (x, xx), (y, yy) = user, item
    return rating**2 - 2 * rating * (x @ y) + np.sum(xx * yy)


def gaussian_divergence(mean, cov, prior_mean, prior_precision):
    entropy = stats.multivariate_normal(mean, cov).entropy()
    prior = stats.multivariate_normal(prior_mean, np.linalg.inv(prior_precision))
    return -(prior.logpdf(mean) - 0.5 * np.sum(prior_precision * cov)) - entropy


def gamma_divergence(shape, rate, start):
    """KL(Gamma(shape, rate) || Gamma(start, start))."""
    entropy = stats.gamma(shape, scale=1 / rate).entropy()
    log = psi(shape) - np.log(rate)
    cross = start * np.log(start) - gammaln(start) + (start - 1) * log - start * shape / rate
    return -cross - entropy


def elbo(factors, ratings):
    """The ELBO rating by rating and row by row, penalties left out."""
    sides = factors.users, factors.items
    means = [side.means() for side in sides]
    covs = [side.covariances() for side in sides]
    y_mean, y_second = design(means[1], covs[1], factors.posterior.biases)
    ones = np.ones((len(means[0]), 1))
    x_mean = np.hstack([means[0], ones])
    x_cov = np.zeros((len(ones), x_mean.shape[1], x_mean.shape[1]))
    x_cov[:, :-1, :-1] = covs[0]
    x_second = second_moments(x_mean, x_cov)
    total = 0.0
    for i, j, r in zip(ratings.users, ratings.items, ratings.values, strict=True):
        error = expected_error(
            float(r) - factors.center, (x_mean[i], x_second[i]), (y_mean[j], y_second[j])
        )
        weight = sides[0].weights[i] * sides[1].weights[j]
        log_weight = sides[0].expected_log_weights()[i] + sides[1].expected_log_weights()[j]
        tau = factors.noise_precision
        total += 0.5 * (np.log(tau / (2 * np.pi)) + log_weight - tau * weight * error)
    for side, mean, cov in zip(sides, means, covs, strict=True):
        prior_means = np.broadcast_to(side.prior_means(), mean.shape)
        for m, c, prior_mean in zip(mean, cov, prior_means, strict=True):
            total -= gaussian_divergence(m, c, prior_mean, side.prior.precision)
        if side.concentration:
            total -= gamma_divergence(side.shape, side.rate, side.concentration).sum()
    return total
