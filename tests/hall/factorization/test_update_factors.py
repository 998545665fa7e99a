"""New ratings without the old ones: natural parameters add."""

from dataclasses import replace

import numpy as np
import pytest

from ppl_ext.factorization import (
    MatrixFactorization,
    Noise,
    read_ratings,
    simulate_ratings,
    split_by_row,
    split_by_user,
    update_factors,
)
from tests.hall.factorization import dense

RATINGS = simulate_ratings(num_users=400, num_items=120, density=0.12, seed=2).ratings
MODEL = MatrixFactorization(3, num_threads=1)
EXACT = replace(MODEL, dtype=np.float64, noise=Noise(by_user=False), tolerance=0, max_sweeps=5)


@pytest.mark.parametrize("biases", [True, False])
def test_update_adds_natural_parameters(biases):
    # One sweep, users first: the conditional of each user with the fitted posterior as prior.
    old, new = split_by_row(RATINGS, 0.3, seed=3)
    model = replace(EXACT, biases=biases, noise=Noise())
    before = model.fit(old, progress_bar=False)
    after = update_factors(before, new, max_sweeps=1)
    mean, second = dense.design(before.items.means(), before.items.covariances(), biases)
    for row in np.unique(new.users)[:10]:
        own = new.users == row
        columns = new.items[own]
        precision = np.linalg.inv(before.users.covariances([row])[0])
        loc, lambda_ = dense.update_row(
            new.values[own].astype(float) - before.center, mean[columns], second[columns],
            before.items.weights[columns], precision, precision @ before.users.means([row])[0],
            before.noise_precision, before.users.weights[row],
        )  # fmt: skip
        np.testing.assert_allclose(after.users.means([row])[0], loc, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(
            after.users.covariances([row])[0], np.linalg.inv(lambda_), rtol=1e-6, atol=1e-9
        )
        assert after.users.shape[row] == before.users.shape[row] + own.sum() / 2


def test_update_learns_nearly_what_a_refit_does():
    train, test = split_by_row(RATINGS, 0.15, seed=1)
    old, new = split_by_user(train, 0.5, seed=1)
    before = MODEL.fit(old, progress_bar=False)
    after = update_factors(before, new)
    refit = MODEL.fit(train, progress_bar=False)
    rmse = [each.assess(test).rmse for each in (before, after, refit)]
    assert rmse[1] < rmse[2] + 0.35 * (rmse[0] - rmse[2])
    assert np.array_equal(before.users.ids, after.users.ids)


def test_update_takes_newcomers_and_leaves_the_others():
    old = RATINGS.select(RATINGS.users < 300)
    old = replace(old, user_ids=RATINGS.user_ids[:300])
    before = MODEL.fit(old, progress_bar=False)
    table = before.items.table.copy()
    new = read_ratings(([5000, 5000, 3], [0, 9000, 9000], [4.0, 3.0, 5.0]))
    after = update_factors(before, new)
    assert after.users.ids[-1] == 5000
    assert after.items.ids[-1] == 9000
    assert np.array_equal(before.items.table, table)
    assert np.array_equal(after.users.table[:, 10:200], before.users.table[:, 10:200])
    spread = after.predict(3, 9000).mean_sd
    assert spread < update_factors(before, new.select([0, 1])).predict(3, 9000).mean_sd


def test_update_refuses_what_it_cannot_learn_from():
    features = np.random.default_rng(0).normal(size=(RATINGS.num_items, 2))
    model = replace(MODEL, max_sweeps=1)
    before = model.fit(RATINGS, item_features=features, progress_bar=False)
    with pytest.raises(ValueError, match="update_factors: the fit had features of items"):
        update_factors(before, RATINGS)
    plain = model.fit(RATINGS, progress_bar=False)
    with pytest.raises(ValueError, match="max_sweeps=0"):
        update_factors(plain, RATINGS, max_sweeps=0)
    with pytest.raises(ValueError, match="labels such as 'ann', and the fit 0"):
        update_factors(plain, read_ratings((["ann"], [0], [3.0])))
