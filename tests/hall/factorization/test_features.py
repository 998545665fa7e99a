"""Features in the prior: against dense algebra and simulated truth."""

import itertools

import numpy as np
import pytest
from scipy import sparse, stats

from ppl_ext.factorization import (
    ARD,
    Fixed,
    FullCovariance,
    Isotropic,
    Noise,
    read_ratings,
    split_by_row,
)
from tests.hall.factorization import dense
from tests.hall.factorization.featured import (
    COLD,
    FRAME,
    IDS,
    ITEMS,
    NUM_FACTORS,
    NUM_ITEMS,
    NUM_USERS,
    PREDICTED,
    RATINGS,
    USERS,
    VALUES,
    X,
    fit,
)


@pytest.fixture(scope="module")
def plain():
    return fit()


@pytest.fixture(scope="module")
def factors():
    return fit(item_features=FRAME.loc[IDS])


@pytest.mark.parametrize(
    ("prior", "noise", "dtype"),
    list(
        itertools.product(
            [Fixed(0.3), Isotropic(), ARD(), FullCovariance()],
            [Noise(), Noise(0.25, by_user=False, by_item=False)],
            [np.float32, np.float64],
        )
    ),
)
def test_elbo_never_falls(prior, noise, dtype):
    features = np.random.default_rng(0).normal(size=(NUM_USERS, 3))
    factors = fit(
        user_prior=prior, item_prior=prior, noise=noise, dtype=dtype, max_sweeps=40, tolerance=0,
        user_features=features, item_features=X[IDS],
    )  # fmt: skip
    assert len(factors.elbo) == 40
    assert np.diff(factors.elbo).min() > -1e-8 * abs(factors.elbo[-1])


@pytest.mark.parametrize("biases", [True, False])
def test_elbo_is_that_of_the_dense_model(biases):
    # Few rows, so that the coefficients' covariance, as one matrix over all of them, is small.
    ratings = RATINGS.select(RATINGS.users < 40)
    factors = fit(
        ratings, biases=biases, item_features=X[IDS], dtype=np.float64, max_sweeps=6,
        noise=Noise(0.25), user_prior=Fixed(0.3, 0.2), item_prior=Fixed(0.6, 0.4),
    )  # fmt: skip
    side, own = factors.items, factors.items.regression
    x = (X[IDS] - own.center) / own.scale
    np.testing.assert_allclose(side.offsets, x @ own.coefficients, atol=1e-12)
    prior_cov = np.linalg.inv(side.prior.precision)
    q_cov = np.kron(own.covariance, prior_cov)
    start = np.kron(np.diag(own.relevance), side.prior.precision)
    flat = own.coefficients.ravel()
    expected = dense.elbo(factors, ratings)
    expected -= dense.gaussian_divergence(flat, q_cov, np.zeros(len(flat)), start)
    # What the prior's mean is uncertain by, in the expected log prior of every row.
    each = np.einsum("rf,fg,rg->r", x, own.covariance, x)
    expected -= 0.5 * np.sum(each) * np.trace(side.prior.precision @ prior_cov)
    assert factors.elbo[-1] == pytest.approx(expected, rel=1e-9)


def test_coefficients_are_the_regression_of_the_posterior_means(factors):
    side, own = factors.items, factors.items.regression
    x = (X[IDS] - own.center) / own.scale
    expected = np.linalg.solve(
        x.T @ x + np.diag(own.relevance), x.T @ (side.means() - side.prior.mean)
    )
    np.testing.assert_allclose(own.coefficients, expected, atol=2e-5)
    np.testing.assert_allclose(
        own.covariance, np.linalg.inv(x.T @ x + np.diag(own.relevance)), rtol=1e-8, atol=1e-12
    )


def test_sparse_features_are_the_same():
    binary = (X[IDS] > 0.5).astype(float)
    settings = {"dtype": np.float64, "max_sweeps": 10, "tolerance": 0}
    full = fit(item_features=binary, **settings)
    for form in (sparse.csr_array, sparse.coo_matrix):
        thin = fit(item_features=form(binary), **settings)
        np.testing.assert_allclose(thin.elbo, full.elbo, rtol=1e-11)
        np.testing.assert_allclose(thin.items.offsets, full.items.offsets, atol=1e-8)


def test_units_and_order_of_features_do_not_matter(factors):
    other = FRAME.loc[IDS][::-1] * 100 + 7
    again = fit(item_features=other)
    np.testing.assert_allclose(again.elbo, factors.elbo, rtol=1e-6)


def assess_cold(factors, **features):
    prediction = factors.predict(USERS[COLD], ITEMS[COLD], **features)
    off = VALUES[COLD] - prediction.mean
    inside = np.abs(off) < stats.norm.ppf(0.95) * prediction.sd
    return np.sqrt(np.mean(off**2)), inside.mean()


def test_cold_start_is_near_the_optimum(factors):
    # The optimum knows users and effects; 45 ratings of each user are all that a fit has.
    best = np.sqrt(np.mean((VALUES[COLD] - PREDICTED[COLD]) ** 2))
    rmse, covered = assess_cold(factors, item_features=FRAME)
    strangers = read_ratings(
        (USERS[~COLD], ITEMS[~COLD], VALUES[~COLD]), item_ids=np.arange(NUM_ITEMS)
    )
    without, _ = assess_cold(fit(strangers))
    assert rmse < best + 0.15 * (without - best)
    # 60 new items share one unknown each: the fraction is uncertain by about 0.02.
    assert abs(covered - 0.9) < 0.04


def test_features_without_signal_cost_nothing():
    train, test = split_by_row(RATINGS, 0.2, seed=3)
    noise = np.random.default_rng(1).normal(size=(len(IDS), 40))
    without, with_noise, both = (
        fit(train, item_features=features).assess(test)
        for features in (None, noise, np.hstack([X[IDS], noise]))
    )
    assert abs(with_noise.rmse - without.rmse) < 0.002 * without.rmse
    assert both.rmse < without.rmse
    regression = fit(item_features=np.hstack([X[IDS], noise])).items.regression
    assert regression.relevance[:5].max() < 0.05 * np.median(regression.relevance[5:])


def test_tree_holds_the_coefficients(factors):
    posterior = factors.to_datatree(num_draws=400)["posterior"]
    drawn = posterior["item_coefficients"]
    assert drawn.sizes == {"chain": 1, "draw": 400, "item_feature": 5, "factor": NUM_FACTORS}
    own = factors.items.regression
    bias = posterior["item_bias_coefficients"].sel(item_feature="x3").values.ravel()
    sd = np.sqrt(own.covariance[3, 3] * np.linalg.inv(factors.items.prior.precision)[-1, -1])
    # 400 draws: 4 standard errors of the mean and of the standard deviation.
    assert abs(bias.mean() - own.coefficients[3, -1]) < 4 * sd / 20
    assert abs(bias.std() / sd - 1) < 4 / np.sqrt(800)
