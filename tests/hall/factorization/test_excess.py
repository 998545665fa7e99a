"""More factors than the ratings can carry: said at the fit, in its log and where it is shown."""

import re
import warnings

import numpy as np
import pytest

from ppl_ext.factorization import MatrixFactorization, read_ratings, simulate_ratings


def pure_noise(count, users=60, items=40, scale=1.0):
    rng = np.random.default_rng(3)
    cells = rng.choice(users * items, count, replace=False)
    return read_ratings((cells // items, cells % items, scale * rng.normal(size=count)))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_factors_that_the_ratings_cannot_carry_are_announced(scale):
    ratings = pure_noise(600, scale=scale)
    with pytest.warns(
        UserWarning, match="200 factors are more than the ratings can carry"
    ) as told:
        factors = MatrixFactorization(num_factors=200).fit(ratings, progress_bar=False)
    assert len(told) == 1
    # The best prediction is the mean, whose error is the ratings' spread; the intervals are wider.
    assert factors.predict([0], [0]).sd[0] > 2 * np.std(ratings.values)
    (note,) = factors.log.notes
    assert "20,000 numbers for 600 ratings" in note
    assert note in str(factors.log)
    assert "200 factors are more" in factors._repr_html_()
    fewer = int(re.search(r"num_factors=(\d+)", note)[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = MatrixFactorization(num_factors=fewer).fit(ratings, progress_bar=False)
    assert again.log.notes == ()


def test_factors_that_the_ratings_carry_are_not():
    ratings = simulate_ratings(num_users=300, num_items=200, seed=12).ratings
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factors = MatrixFactorization(num_factors=32).fit(ratings, progress_bar=False)
    assert factors.log.notes == ()
