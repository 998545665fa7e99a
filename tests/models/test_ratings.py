"""Ratings: what the host makes of fitted factors, beside closed forms and a known truth."""

import numpy as np
import pytest
from scipy import stats

from models.ratings.data import EQUAL_NOISE, choose_pairs, describe_fit, open_table

# Two-sided, for each number compared: one false alarm in 10,000 changes of the seed.
Z = stats.norm.isf(0.5e-4)


@pytest.fixture(scope="module")
def table():
    return open_table()


@pytest.fixture(scope="module")
def fitted(table):
    return EQUAL_NOISE.fit(table.train, progress_bar=False)


def measure(host, factors, table):
    return -host.room.factorization.CAVI(EQUAL_NOISE).evaluate(factors, table.train)


def test_the_truth_stands_beside_the_ratings_that_it_belongs_to(table):
    assert len(table.truth) == len(table.test)
    assert len(table.test) == (len(table.train) + len(table.test)) // 10
    # The noise has a median standard deviation of 0.7; truth of other ratings would miss by 1.5.
    assert np.median(np.abs(table.test.values - table.truth)) < 0.7


def test_factors_come_nearer_to_the_truth_than_the_levels_of_users_and_items(table, fitted):
    """Beside a ridge regression on the labels alone, which knows no factors."""
    rows = [table.train.users, table.train.num_users + table.train.items]
    design = np.zeros((len(table.train), table.train.num_users + table.train.num_items))
    for row in rows:
        design[np.arange(len(row)), row] = 1
    center = table.train.values.mean()
    levels = np.linalg.solve(
        design.T @ design + np.eye(design.shape[1]), design.T @ (table.train.values - center)
    )
    users, items = table.test.users, table.test.items
    plain = center + levels[users] + levels[table.train.num_users + items]
    found = fitted.predict(table.test.user_ids[users], table.test.item_ids[items]).mean
    assert np.mean((found - table.truth) ** 2) < 0.8 * np.mean((plain - table.truth) ** 2)


def test_the_hosts_elbo_is_that_of_the_closed_form(host, worked, table, fitted):
    estimate, error = host.random(
        lambda *key: worked("ratings").estimate_elbo(table, fitted, draws=50)
    )
    assert abs(estimate - measure(host, fitted, table)) < Z * error
    assert error < 5


def test_the_hosts_svi_raises_the_elbo_of_a_fit_cut_short(host, worked, table):
    early = host.room.factorization.CAVI(EQUAL_NOISE).init
    early = host.random(early, table.train)
    later = host.random(lambda *key: worked("ratings").continue_fit(table, early, steps=100))
    assert measure(host, later, table) > measure(host, early, table)


def test_predictive_draws_what_the_closed_form_predicts(host, worked, table, fitted):
    pairs, draws = choose_pairs(table), 400
    found = host.random(
        lambda *key: worked("ratings").draw_ratings(table, fitted, pairs, draws=draws)
    )
    assert found.shape == (draws, len(pairs))
    test = table.test.select(pairs)
    known = fitted.predict(test.user_ids[test.users], test.item_ids[test.items])
    assert np.all(np.abs(found.mean(0) - known.mean) < Z * known.sd / draws**0.5)
    # Products of Gaussians have longer tails than a Gaussian, hence the wider margin.
    assert np.all(np.abs(found.std(0) / known.sd - 1) < 1.5 * Z / (2 * draws) ** 0.5)


def test_a_file_is_read_in_place_of_the_simulation(tmp_path, table):
    path = tmp_path / "ratings.csv"
    lines = [f"ann{i},film{j},{i % 5}" for i in range(20) for j in range(i % 3, 12, 2)]
    path.write_text("user,item,rating\n" + "\n".join(lines), encoding="utf-8")
    read = open_table(str(path))
    assert read.truth is None
    assert len(read.train) + len(read.test) == len(lines)
    said = describe_fit(read, EQUAL_NOISE.fit(read.train, progress_bar=False))
    assert str(path) in said[0]
    assert len(describe_fit(table, EQUAL_NOISE.fit(table.train, progress_bar=False))) == 4
