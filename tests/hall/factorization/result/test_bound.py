"""The bound measured on factors, against dense algebra, and their way to parameters and back."""

import numpy as np
import pytest
from scipy import sparse

from ppl_ext.factorization import (
    Fixed,
    MatrixFactorization,
    Noise,
    begin_factors,
    measure_bound,
    simulate_ratings,
)
from ppl_ext.factorization.model.side_features import read_designs
from ppl_ext.factorization.result.parameters import (
    guide_parameters,
    model_constants,
    restore_factors,
)
from tests.hall.factorization import dense

RATINGS = simulate_ratings(num_users=40, num_items=20, density=0.3, seed=3).ratings


def fit(features=None, **settings):
    shared = {"dtype": np.float64, "num_threads": 1, "max_sweeps": 6}
    model = MatrixFactorization(3, **{**shared, **settings})
    return model.fit(RATINGS, progress_bar=False, **(features or {}))


@pytest.mark.parametrize("settings", [{}, {"biases": False, "diagonal": True}])
def test_bound_is_that_of_the_dense_model(settings):
    factors = fit(**settings)
    bound = measure_bound(factors, RATINGS)
    assert bound.total == pytest.approx(dense.elbo(factors, RATINGS), rel=1e-9)
    # What the fit reports is less, by the penalties of what it has learned.
    assert 0 < bound.total - factors.elbo[-1] < 100


FEATURES = {
    "user_features": np.random.default_rng(0).normal(size=(40, 2)),
    "item_features": np.random.default_rng(1).normal(2.0, 3.0, size=(20, 3)),
}


@pytest.mark.parametrize("sides", [("user",), ("item",), ("user", "item")])
def test_bound_with_features_is_that_of_the_fit_and_of_coefficients_far_from_it(sides):
    features = {f"{name}_features": FEATURES[f"{name}_features"] for name in sides}
    fixed = {"user_prior": Fixed(0.4), "item_prior": Fixed(0.5), "noise": Noise(0.5)}
    settings = MatrixFactorization(3, **fixed, dtype=np.float64, num_threads=1, max_sweeps=6)
    factors = settings.fit(RATINGS, **features, progress_bar=False)
    # Nothing that is learned here has a penalty.
    bound = measure_bound(factors, RATINGS, **features)
    assert bound.total == pytest.approx(factors.elbo[-1], rel=1e-9)
    thin = {name: sparse.csr_array(table) for name, table in features.items()}
    assert measure_bound(factors, RATINGS, **thin).total == pytest.approx(bound.total, rel=1e-12)
    # The sweep's formula holds at the optimum alone: move the coefficients away from it.
    known = guide_parameters(factors.posterior)
    for name in sides:
        known[f"{name}_regression_loc"] = known[f"{name}_regression_loc"] + 0.3
        known[f"{name}_regression_scale_tril"] = known[f"{name}_regression_scale_tril"] * 1.5
    designs = read_designs("this test", factors.posterior, *map(features.get, FEATURES))
    moved = restore_factors(factors.posterior, known, RATINGS, designs)
    expected = dense.elbo(moved, RATINGS)
    for name in sides:
        side = moved.users if name == "user" else moved.items
        own = side.regression
        x = (features[f"{name}_features"] - own.center) / own.scale
        np.testing.assert_allclose(side.offsets, x @ own.coefficients, atol=1e-12)
        q_cov = np.kron(own.covariance, np.linalg.inv(side.prior.precision))
        start = np.kron(np.diag(own.relevance), side.prior.precision)
        flat = own.coefficients.ravel()
        expected -= dense.gaussian_divergence(flat, q_cov, np.zeros(len(flat)), start)
        expected -= 0.5 * side.dim * np.einsum("rf,fg,rg->", x, own.covariance, x)
    assert moved.elbo[-1] == pytest.approx(expected, rel=1e-9)
    assert moved.elbo[-1] < bound.total - 1


@pytest.mark.parametrize("features", [{}, FEATURES])
@pytest.mark.parametrize("settings", [{}, {"diagonal": True}])
def test_parameters_and_constants_are_all_there_is(settings, features):
    factors = fit(features, **settings)
    known = {**guide_parameters(factors.posterior), **model_constants(factors.posterior)}
    designs = read_designs("this test", factors.posterior, *map(features.get, FEATURES))
    again = restore_factors(factors.posterior, known, RATINGS, designs)
    truth = measure_bound(factors, RATINGS, **features).total
    assert again.elbo[-1] == pytest.approx(truth, rel=1e-9)
    for side in ("users", "items"):
        ours, theirs = getattr(again, side).regression, getattr(factors, side).regression
        assert (ours is None) == (not features)
        for name in ("coefficients", "covariance", "relevance") if features else ():
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-7)
    np.testing.assert_allclose(again.users.table, factors.users.table, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(
        again.items.prior.precision, factors.items.prior.precision, rtol=1e-8, atol=1e-8
    )
    nowhere = restore_factors(factors.posterior, known, None, designs)
    assert np.isnan(nowhere.elbo[-1])


def test_single_precision_leaves_a_usable_covariance():
    factors = fit(dtype=np.float32, max_sweeps=20)
    lower = guide_parameters(factors.posterior)["user_scale_tril"]
    assert (np.einsum("rii->ri", lower) > 0).all()
    np.testing.assert_allclose(
        lower @ lower.swapaxes(-1, -2), factors.users.covariances(), atol=1e-5
    )


def test_features_are_those_of_the_fit():
    factors, plain = fit(FEATURES), fit()
    users, items = FEATURES.values()
    with pytest.raises(
        ValueError, match=r"measure_bound: .* 2 features, 'feature 0' .*Pass user_f"
    ):
        measure_bound(factors, RATINGS, item_features=items)
    with pytest.raises(ValueError, match=r"item_features is given.*without.*Leave it out"):
        measure_bound(plain, RATINGS, item_features=items)
    with pytest.raises(
        ValueError, match=r"item_features has 2 columns; expected the 3 of the fit"
    ):
        measure_bound(factors, RATINGS, user_features=users, item_features=items[:, :2])


@pytest.mark.parametrize("features", [{}, FEATURES])
@pytest.mark.parametrize("settings", [{}, {"biases": False, "diagonal": True}])
def test_factors_before_any_sweep(settings, features):
    model = MatrixFactorization(3, dtype=np.float64, num_threads=1, max_sweeps=1, **settings)
    begun = begin_factors(model, RATINGS, **features)
    bound = measure_bound(begun, RATINGS, **features)
    assert begun.elbo.tolist() == [bound.total]
    # Nothing is known of users, weights and coefficients; items are apart. What standardised
    # features say of a user is, at first, as uncertain as what they leave: half a nat each.
    expected = {"user_divergence": 40 * begun.users.dim / 2 if features else 0.0}
    for name, term in vars(bound).items():
        if name not in ("likelihood", "item_divergence"):
            assert term == pytest.approx(expected.get(name, 0.0), abs=1e-8)
    assert np.linalg.matrix_rank(begun.items.means()[:, :3]) == 3
    smallest = min(
        np.linalg.eigvalsh(side.covariances()).min() for side in (begun.users, begun.items)
    )
    assert smallest > 1e-3
    # One sweep from here is as good as the first sweep of a fit.
    once = model.fit(RATINGS, start=begun, progress_bar=False, **features)
    first = model.fit(RATINGS, progress_bar=False, **features)
    assert once.elbo[-1] == pytest.approx(first.elbo[-1], rel=0.05)


def test_no_ratings_to_begin_with():
    with pytest.raises(ValueError, match=r"begin_factors: there are no ratings; expected"):
        begin_factors(MatrixFactorization(2), RATINGS.select(np.zeros(0, int)))
