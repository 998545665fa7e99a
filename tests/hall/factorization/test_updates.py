"""The compiled updates against dense algebra, quadrature and evidence in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy import stats

from ppl_ext.factorization import (
    ARD,
    Fixed,
    FullCovariance,
    GaussianPrior,
    Isotropic,
    MatrixFactorization,
    Noise,
    read_ratings,
    simulate_ratings,
)
from ppl_ext.factorization.model.side_rows import write_rows
from ppl_ext.factorization.solver.adjacency import Adjacency
from ppl_ext.factorization.solver.side_update import update_side
from tests.hall.factorization import dense

RATINGS = simulate_ratings(num_users=150, num_items=40, density=0.2, seed=3).ratings
EQUAL = Noise(by_user=False, by_item=False)


def fit(ratings=RATINGS, num_factors=3, **settings):
    settings = {"dtype": np.float64, "num_threads": 1, "max_sweeps": 4, **settings}
    return MatrixFactorization(num_factors, **settings).fit(ratings, progress_bar=False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("by_user", [True, False])
def test_update_is_the_gaussian_conditional(bias, diagonal, by_user):
    factors = fit(num_factors=5, biases=bias)
    side, other = (factors.users, factors.items)[:: 1 if by_user else -1]
    adjacency = Adjacency.by_user(RATINGS) if by_user else Adjacency.by_item(RATINGS)
    mean, second = dense.design(other.means(), other.covariances(), bias)
    weights, tau = side.weights.copy(), factors.noise_precision
    precision = side.prior.precision
    updated, moments = update_side(
        side,
        other,
        adjacency,
        center=factors.center,
        noise_precision=tau,
        bias=bias,
        diagonal=diagonal,
    )
    log_det = 0.0
    for row in range(len(side)):
        columns, values = adjacency.read(row)
        loc, lambda_ = dense.update_row(
            values - factors.center,
            mean[columns],
            second[columns],
            other.weights[columns],
            precision,
            precision @ side.prior.mean,
            tau,
            weights[row],
        )
        cov = np.diag(1 / np.diag(lambda_)) if diagonal else np.linalg.inv(lambda_)
        log_det -= np.linalg.slogdet(cov)[1]
        np.testing.assert_allclose(updated.means()[row], loc, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(
            updated.covariances(np.array([row]))[0], cov, rtol=1e-7, atol=1e-10
        )
    np.testing.assert_allclose(moments.log_det, log_det, rtol=1e-10)
    np.testing.assert_allclose(moments.first, updated.means().sum(axis=0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("noise", [Noise(), Noise(0.5), EQUAL, Noise(by_item=False)])
def test_elbo_is_that_of_the_dense_model(bias, noise):
    factors = fit(biases=bias, noise=noise, user_prior=Fixed(0.3, 0.2), item_prior=Fixed(0.6, 0.4))
    # The concentration is learned after the sweep's divergence was taken at its own.
    expected = dense.elbo(factors, RATINGS)
    penalty = 0.0
    if noise.variance is None:
        ratio = factors.noise_precision * float(np.var(RATINGS.values, dtype=float))
        penalty = 0.5 * (ratio - 1 - np.log(ratio))
    assert factors.elbo[-1] == pytest.approx(expected - penalty, rel=1e-9)


def test_elbo_carries_the_penalty_of_learned_priors():
    factors = fit(user_prior=FullCovariance(2), item_prior=ARD(5), noise=Noise(0.5))
    variances = np.full(4, np.std(RATINGS.values, dtype=float))
    variances[-1] = np.var(RATINGS.values, dtype=float) / 4
    penalty = sum(
        rows * dense.gaussian_divergence(np.zeros(4), np.diag(variances), *vars(prior).values())
        for rows, prior in ((2, factors.users.prior), (5, factors.items.prior))
    )
    assert factors.elbo[-1] == pytest.approx(dense.elbo(factors, RATINGS) - penalty, rel=1e-9)


def test_elbo_is_below_the_evidence_and_near_it():
    ratings = read_ratings(([0], [0], [0.8]))
    factors = MatrixFactorization(
        1,
        biases=False,
        center=0.0,
        user_prior=Fixed(0.5),
        item_prior=Fixed(0.5),
        noise=Noise(0.5, by_user=False, by_item=False),
        dtype=np.float64,
        tolerance=0,
        max_sweeps=100,
    ).fit(ratings, progress_bar=False)

    # Gauss-Hermite quadrature over both factors.
    nodes, weights = hermegauss(80)
    u = np.sqrt(0.5) * nodes
    density = stats.norm.pdf(0.8, np.outer(u, u), np.sqrt(0.5))
    evidence = np.log(weights @ density @ weights / (2 * np.pi))
    assert evidence - 0.2 < factors.elbo[-1] < evidence


def test_elbo_is_the_evidence_where_factors_vanish():
    # With factors held at zero the model is linear in the bias of its one user: N(0, S + s I).
    values = np.array([3.0, 4.5, 2.0, 5.0])
    ratings = read_ratings((np.zeros(4, int), np.arange(4), values))
    factors = MatrixFactorization(
        1,
        center=0.0,
        user_prior=Fixed(1e-12, 2.0),
        item_prior=Fixed(1e-12, 1e-12),
        noise=Noise(0.5, by_user=False, by_item=False),
        dtype=np.float64,
        start_sds=(1e-6, 1e-6),
    ).fit(ratings, progress_bar=False)
    evidence = stats.multivariate_normal(np.zeros(4), 2.0 + 0.5 * np.eye(4)).logpdf(values)
    assert factors.elbo[-1] == pytest.approx(evidence, abs=1e-6)


@pytest.mark.parametrize("what", ["mean", "spread"])
def test_no_other_gaussian_is_better(what):
    # Coordinate ascent has ended where moving any one row lowers the ELBO of the dense model.
    factors = fit(noise=Noise(0.5, False, False), max_sweeps=600, tolerance=0,
                  user_prior=Fixed(0.3, 0.2), item_prior=Fixed(0.6, 0.4))  # fmt: skip
    best = dense.elbo(factors, RATINGS)
    for row in (0, 17):
        for sign in (1, -1):
            side = factors.items
            side = replace(side, table=side.table.copy(), summary=side.summary.copy())
            rows = np.array([row])
            means, covs = side.means(rows), side.covariances(rows)
            if what == "mean":
                means = means + sign * 0.05
            else:
                covs = covs * (1 + sign * 0.1)
            write_rows(side, rows, means, covs)
            assert (
                dense.elbo(
                    replace(factors, posterior=replace(factors.posterior, items=side)), RATINGS
                )
                < best - 1e-4
            )


@pytest.mark.parametrize("prior", [Isotropic(2), ARD(2), FullCovariance(2)])
def test_learned_prior_is_the_best_of_its_kind(prior):
    rng = np.random.default_rng(0)
    w = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 3)) + 0.5
    first, second, variances = w.sum(axis=0), w.T @ w, np.array([0.5, 0.5, 0.2])
    learned = prior.learn(30, first, second, variances, bias=True)

    def loss(other):
        return other.divergence(30, first, second, 0.0) + prior.penalty(other, variances)

    own = isinstance(prior, FullCovariance)
    scales = rng.normal(0, 0.05, size=(20, 3))
    for scale in scales:
        if isinstance(prior, Isotropic):
            scale[1] = scale[0]
        factor = np.diag(np.exp(scale))
        nearby = GaussianPrior(learned.mean + own * scale, factor @ learned.precision @ factor)
        assert loss(nearby) > loss(learned)
