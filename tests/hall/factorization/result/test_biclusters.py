"""Sorted blocks: planted groups are found, and the picture shows the table."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ppl_ext.factorization import (
    MatrixFactorization,
    predict_blocks,
    simulate_ratings,
    sort_blocks,
)
from ppl_ext.factorization.result.ranking import combine
from ppl_ext.plots import plot_blocks

plt.switch_backend("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def plant(seed, noise):
    rng = np.random.default_rng(seed)
    users, items = rng.permutation(np.arange(90) % 3), rng.permutation(np.arange(60) % 2)
    tastes = np.array([[1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])
    # Levels of users and items, which are no matter of taste, are wider than the tastes.
    levels = rng.normal(0, 2, size=(90, 1)) + rng.normal(0, 2, size=60)
    return users, items, tastes[users][:, items] + levels + noise * rng.normal(size=(90, 60))


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_planted_groups_are_found(noise):
    users, items, table = plant(1, noise)
    blocks = sort_blocks(table, 3)
    assert np.array_equal(blocks.values, table[np.ix_(blocks.rows, blocks.columns)])
    assert sorted(blocks.rows) == list(range(90))
    assert [len(set(part)) for part in np.split(users[blocks.rows], blocks.row_cuts)] == [1, 1, 1]
    for part in np.split(items[blocks.columns], blocks.column_cuts):
        assert len(set(part)) == 1
    for group in np.split(blocks.values.mean(axis=1), blocks.row_cuts):
        assert np.all(np.diff(group) >= 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (4, 4)])
def test_small_and_constant_tables(shape):
    blocks = sort_blocks(np.ones(shape), 3)
    assert blocks.values.shape == shape
    assert len(blocks.row_cuts) == len(blocks.column_cuts) == 0
    assert plot_blocks(blocks).get_xlabel() == "item, in 1 group"


@pytest.mark.parametrize("table", [np.ones(3), np.full((2, 2), np.nan), np.empty((0, 2))])
def test_other_tables_are_refused(table):
    with pytest.raises(ValueError, match=r"sort_blocks: got an array of shape .* expected"):
        sort_blocks(table)


def test_predictions_of_the_busiest():
    ratings = simulate_ratings(num_users=60, num_items=50, density=0.3, seed=1).ratings
    factors = MatrixFactorization(2).fit(ratings, progress_bar=False)
    blocks = predict_blocks(factors, ratings, max_rows=20)
    counts = np.bincount(ratings.users, minlength=60)
    assert counts[blocks.rows].min() >= np.sort(counts)[-20]
    mean = combine(
        factors.posterior, factors.users.means(blocks.rows), factors.items.means(blocks.columns)
    )
    np.testing.assert_allclose(blocks.values, mean)


def test_picture_shows_the_table():
    _, _, table = plant(2, 0.1)
    blocks = sort_blocks(table, 3)
    ax = plt.figure().add_subplot()
    assert plot_blocks(blocks, ax, cmap="gray", vmin=-3.0) is ax
    image = ax.images[0]
    np.testing.assert_array_equal(image.get_array(), blocks.values)
    assert (image.get_cmap().name, image.norm.vmin) == ("gray", -3.0)
    assert len(ax.lines) == len(blocks.row_cuts) + len(blocks.column_cuts)
