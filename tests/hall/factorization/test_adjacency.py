"""The second order of the ratings holds what the first holds, in as few bytes as do."""

import numpy as np
import pytest

from ppl_ext.factorization import Ratings
from ppl_ext.factorization.solver.adjacency import Adjacency


def make_ratings(num_users, values):
    rng = np.random.default_rng(0)
    pairs = np.sort(rng.choice(num_users * 5, len(values), replace=False))
    users, items = (pairs // 5).astype(np.int32), (pairs % 5).astype(np.int32)
    # The last item has no ratings.
    return Ratings(users, items, values, np.arange(num_users), np.arange(6))


@pytest.mark.parametrize(
    ("num_users", "values", "kept"),
    [
        (100, np.arange(300) % 10 / 2, (np.uint16, np.uint8)),
        (100, np.arange(300) % 256 / 7, (np.uint16, np.uint8)),
        (100, np.arange(300) % 257 / 7, (np.uint16, np.float32)),
        (65_536, np.ones(300), (np.uint16, np.uint8)),
        (65_537, np.ones(300), (np.int32, np.uint8)),
    ],
)
def test_ratings_by_item(num_users, values, kept):
    ratings = make_ratings(num_users, values.astype(np.float32))
    found = Adjacency.by_item(ratings)
    assert (found.columns.dtype, found.values.dtype) == kept
    np.testing.assert_array_equal(found.counts, np.bincount(ratings.items, minlength=6))
    for item in range(6):
        rows = np.flatnonzero(ratings.items == item)
        users, own = found.read(item)
        np.testing.assert_array_equal(users, ratings.users[rows])
        np.testing.assert_array_equal(own, ratings.values[rows])


def test_double_precision_stays_as_it_is():
    values = 1e6 + np.arange(300) / 1e3
    found = Adjacency.by_item(make_ratings(100, values))
    assert found.values.dtype == np.float64
    assert sorted(value for item in range(6) for value in found.read(item)[1]) == values.tolist()
