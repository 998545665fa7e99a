"""Splits share out every rating, and leave no part empty."""

import numpy as np
import pytest

from ppl_ext.factorization import (
    read_ratings,
    simulate_ratings,
    split_by_row,
    split_by_time,
    split_by_user,
)

RATINGS = simulate_ratings(num_users=50, num_items=40, seed=1).ratings


def test_splits_share_out_every_rating():
    timed = read_ratings(
        (*(RATINGS.users, RATINGS.items, RATINGS.values), np.arange(len(RATINGS)))
    )
    for train, test in (split_by_row(timed), split_by_time(timed), split_by_user(timed)):
        assert len(train) + len(test) == len(timed)
        assert sorted([*train.times, *test.times]) == sorted(timed.times)
        assert train.user_ids is test.user_ids is timed.user_ids
    train, test = split_by_time(timed)
    assert train.times.max() < test.times.min()
    train, test = split_by_user(timed)
    assert not set(train.users.tolist()) & set(test.users.tolist())
    assert split_by_row(timed, seed=1)[1].times.tolist() != split_by_row(timed)[1].times.tolist()


def test_splits_refuse_empty_parts():
    for split in (split_by_row, split_by_user):
        with pytest.raises(ValueError, match="leaves one part empty"):
            split(RATINGS, 0.0)
    with pytest.raises(ValueError, match="have no times"):
        split_by_time(RATINGS)
