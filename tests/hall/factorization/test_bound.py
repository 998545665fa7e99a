"""The bound measured on factors, against dense algebra, and their way to parameters and back."""

import numpy as np
import pytest

from ppl_ext.factorization import MatrixFactorization, measure_bound, simulate_ratings
from ppl_ext.factorization.parameters import guide_parameters, model_constants, restore_factors
from tests.hall.factorization import dense

RATINGS = simulate_ratings(num_users=40, num_items=20, density=0.3, seed=3).ratings


def fit(**settings):
    shared = {"dtype": np.float64, "num_threads": 1, "max_sweeps": 6}
    return MatrixFactorization(3, **{**shared, **settings}).fit(RATINGS, progress_bar=False)


@pytest.mark.parametrize("settings", [{}, {"biases": False, "diagonal": True}])
def test_bound_is_that_of_the_dense_model(settings):
    factors = fit(**settings)
    bound = measure_bound(factors, RATINGS)
    assert bound.total == pytest.approx(dense.elbo(factors, RATINGS), rel=1e-9)
    # What the fit reports is less, by the penalties of what it has learned.
    assert 0 < bound.total - factors.elbo[-1] < 100


@pytest.mark.parametrize("settings", [{}, {"diagonal": True}])
def test_parameters_and_constants_are_all_there_is(settings):
    factors = fit(**settings)
    known = {**guide_parameters(factors), **model_constants(factors)}
    again = restore_factors(factors, known, RATINGS)
    assert again.elbo[-1] == pytest.approx(measure_bound(factors, RATINGS).total, rel=1e-9)
    np.testing.assert_allclose(again.users.table, factors.users.table, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(
        again.items.prior.precision, factors.items.prior.precision, rtol=1e-8, atol=1e-8
    )
    nowhere = restore_factors(factors, known, None)
    assert np.isnan(nowhere.elbo[-1])


def test_single_precision_leaves_a_usable_covariance():
    factors = fit(dtype=np.float32, max_sweeps=20)
    lower = guide_parameters(factors)["user_scale_tril"]
    assert (np.einsum("rii->ri", lower) > 0).all()
    np.testing.assert_allclose(
        lower @ lower.swapaxes(-1, -2), factors.users.covariances(), atol=1e-5
    )
