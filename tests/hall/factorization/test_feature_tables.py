"""Newcomers with features, and tables of features that are odd or wrong."""

import numpy as np
import pandas
import pytest
from scipy import sparse

from ppl_ext.factorization import (
    Fixed,
    load_factors,
    read_ratings,
)
from tests.hall.factorization import dense
from tests.hall.factorization.featured import (
    COLD,
    FRAME,
    IDS,
    ITEMS,
    NAMES,
    NUM_COLD,
    NUM_ITEMS,
    NUM_USERS,
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


def test_newcomers_with_features_alone_have_the_predictive_prior(factors):
    grown = factors.fold_in_items(features=FRAME.loc[:4])
    rows = grown.find_items(np.arange(5))
    own = factors.items.regression
    x = (X[:5] - own.center) / own.scale
    mean = factors.items.prior.mean + x @ own.coefficients
    np.testing.assert_allclose(grown.items.means(rows), mean, atol=1e-6)
    wide = 1 + np.einsum("rf,fg,rg->r", x, own.covariance, x)
    expected = wide[:, None, None] * np.linalg.inv(factors.items.prior.precision)
    np.testing.assert_allclose(grown.items.covariances(rows), expected, rtol=1e-4, atol=1e-5)


def test_newcomers_with_ratings_and_features(factors):
    old, values = np.array([1, 4, 30]), np.array([4.0, 2.0, 5.0])
    ratings = read_ratings((old, np.full(3, 2), values))
    grown = factors.fold_in_items(ratings, features=FRAME.loc[[2, 3]])
    prior = factors.fold_in_items(features=FRAME.loc[[2, 3]])
    rows = grown.find_items([2, 3])
    # Ratings move the one that has some, and not the other.
    before, after = prior.items, grown.items
    assert np.all(np.linalg.det(after.covariances(rows)[:1]) < np.linalg.det(
        before.covariances(rows)[:1]
    ))  # fmt: skip
    np.testing.assert_allclose(after.means(rows)[1], before.means(rows)[1])
    np.testing.assert_allclose(after.covariances(rows)[1], before.covariances(rows)[1])
    mean, second = dense.design(factors.users.means(old), factors.users.covariances(old), True)
    loc, _ = dense.update_row(
        values - factors.center, mean, second, factors.users.weights[old],
        factors.items.prior.precision, factors.items.prior.precision @ before.prior_means(rows)[0],
        factors.noise_precision, after.weights[rows[0]],
    )  # fmt: skip
    np.testing.assert_allclose(after.means(rows)[0], loc, rtol=1e-3, atol=1e-4)
    alone = factors.fold_in_items(ratings, features=sparse.csr_array(X[[2]])).items
    np.testing.assert_allclose(alone.means()[-1], after.means(rows)[0], rtol=1e-6)


def test_known_labels_keep_what_their_ratings_say(factors):
    known = factors.predict(3, [70, 80]).mean
    np.testing.assert_array_equal(
        factors.predict(3, [70, 80], item_features=FRAME.loc[IDS]).mean, known
    )
    np.testing.assert_array_equal(factors.predict(3, [70, 80, 0], item_features=FRAME).mean[:2],
                                  known)  # fmt: skip


def test_new_users_and_new_items_at_once():
    by_user = np.random.default_rng(2).normal(size=(NUM_USERS + 1, 2))
    factors = fit(user_features=by_user[:-1], item_features=X[IDS], max_sweeps=8)
    new = (np.array([NUM_USERS]), by_user[-1:])
    prediction = factors.predict(
        NUM_USERS, [0, 1], user_features=new, item_features=([0, 1], X[:2])
    )
    assert prediction.mean.shape == (2,)
    assert np.all(prediction.mean_sd > factors.predict(0, [100]).mean_sd)


def test_saving_and_going_on_keep_features(tmp_path):
    features = {"item_features": FRAME.loc[IDS]}
    whole = fit(max_sweeps=12, tolerance=0, **features)
    fit(max_sweeps=7, tolerance=0, checkpoint=tmp_path / "factors", **features)
    again = load_factors(tmp_path / "factors")
    rest = fit(max_sweeps=5, tolerance=0, start=again, **features)
    assert np.array_equal(rest.elbo, whole.elbo)
    asked = {"item_features": FRAME}
    rest.save(tmp_path / "rest")
    loaded = load_factors(tmp_path / "rest")
    np.testing.assert_array_equal(
        loaded.predict(3, [0, 99], **asked).sd, whole.predict(3, [0, 99], **asked).sd
    )
    assert loaded.items.regression.names == tuple(NAMES)
    with pytest.raises(ValueError, match=r"start was fitted with 5 features of items, 'x0'"):
        fit(start=again)
    # New items come in with their features, and the earlier ones set the units.
    more = read_ratings((USERS, ITEMS, VALUES))
    grown = fit(more, start=again, item_features=FRAME, max_sweeps=2)
    assert len(grown.items) == NUM_ITEMS
    np.testing.assert_array_equal(grown.items.regression.scale, again.items.regression.scale)


SMALL = FRAME.loc[IDS]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (SMALL.drop(index=100), r"no row for 100, and 0 more"),
        (pandas.concat([SMALL, FRAME.loc[[3]]]), r"has 3, and 0 more, of whom there are no"),
        (pandas.concat([SMALL, FRAME.loc[[99]]]), r"has 99 more than once"),
        (SMALL.mask(SMALL.loc[77, "x2"] == SMALL), r"'x2' of 77 is nan; expected a finite"),
        (SMALL.rename(index=str), r"has labels such as '60'; expected some like 60"),
        (X, r"has the shape \(300, 5\) for 240 labels"),
        (X[IDS, 0], r"has the shape \(240,\) for 240 labels; .* x\[:, None\]"),
        (SMALL.set_axis([*NAMES[:-1], "x0"], axis=1), "has two columns called 'x0'"),
        (SMALL.astype("Float64").replace(SMALL.loc[77, "x2"], pandas.NA), r"'x2' of 77 is nan"),
        (SMALL[[]], "has 0 features; expected 1 to 5,000"),
        (sparse.csr_array(np.where(X[IDS] > 2.5, np.inf, 0)), r"'feature \d' of \d+ is inf"),
    ],
)
def test_bad_tables_are_refused(features, message):
    with pytest.raises(ValueError, match=rf"MatrixFactorization.fit: item_features.* ?{message}"):
        fit(item_features=features)


def test_words_are_no_features():
    with pytest.raises(TypeError, match=r"column 'genre' .* pandas.get_dummies"):
        fit(item_features=SMALL.assign(genre="drama"))
    with pytest.raises(TypeError, match="item_features is a list of type <U1; expected numbers"):
        fit(item_features=["a", "b"])


def test_newcomers_need_the_features_of_the_fit(plain, factors):
    ratings = read_ratings(([0], [1000], [3.0]))
    with pytest.raises(ValueError, match="the newcomers have none; expected the same"):
        factors.fold_in_items(ratings)
    with pytest.raises(ValueError, match="neither ratings nor features"):
        factors.fold_in_items()
    with pytest.raises(ValueError, match=r"fold_in_items: features: the fit had no such"):
        plain.fold_in_items(ratings, features=FRAME)
    with pytest.raises(ValueError, match=r"predict: user_features: the fit had no such"):
        factors.predict(0, 70, user_features=FRAME)
    with pytest.raises(ValueError, match="no row for 1000, who has ratings"):
        factors.fold_in_items(ratings, features=FRAME.loc[:3])
    with pytest.raises(ValueError, match="item 60 is known already"):
        factors.fold_in_items(features=FRAME.loc[58:60])
    with pytest.raises(ValueError, match="labels such as 'x'; expected some like 60, as in"):
        factors.fold_in_items(features=(["x"], X[:1]))
    with pytest.raises(ValueError, match="labels such as 'x'; expected some like 60, as in"):
        plain.fold_in_items(read_ratings(([0], ["x"], [3.0])))
    with pytest.raises(ValueError, match="column 'x4' is missing here"):
        factors.predict(0, 1, item_features=FRAME.drop(columns="x4"))
    with pytest.raises(ValueError, match="column 'y' was not there in the fit"):
        factors.predict(0, 1, item_features=FRAME.assign(y=0.0))
    with pytest.raises(ValueError, match=r"has no labels; expected to know whose"):
        factors.predict(0, 1, item_features=X)
    with pytest.raises(ValueError, match="has 4 columns; expected the 5 of the fit"):
        factors.predict(0, 1, item_features=(np.arange(300), X[:, :4]))


@pytest.mark.filterwarnings("ignore:.*more than the ratings can carry")
@pytest.mark.parametrize(
    ("ratings", "features"),
    [
        pytest.param(([1], [1], [4.0]), np.ones((1, 3)), id="one rating"),
        pytest.param((np.arange(30), np.zeros(30, int), np.arange(30) % 5), np.ones((1, 1)),
                     id="one item"),
        pytest.param((np.zeros(30, int), np.arange(30), np.arange(30) % 5),
                     np.arange(60.0).reshape(30, 2), id="one user"),
        pytest.param((np.arange(60) // 6, np.arange(60) % 6, np.full(60, 3.0)), np.eye(6),
                     id="constant ratings"),
        pytest.param((np.arange(60) // 6, np.arange(60) % 6, np.arange(60) % 5),
                     np.random.default_rng(0).normal(size=(6, 50)), id="more features than items"),
        pytest.param((np.arange(60) // 6, np.arange(60) % 6, np.arange(60) % 5),
                     np.tile(np.arange(6.0)[:, None], 2), id="the same feature twice"),
        pytest.param((np.arange(60) // 6, np.arange(60) % 6, np.arange(60) % 5),
                     sparse.csr_array((6, 4)), id="nothing but zeros"),
        pytest.param((np.arange(60) // 6, np.arange(60) % 6, np.arange(60) % 5),
                     1e9 + np.arange(6.0)[:, None], id="far from zero"),
    ],
)  # fmt: skip
def test_odd_tables(ratings, features):
    table = read_ratings(ratings)
    factors = fit(table, 20, item_features=features, max_sweeps=60)
    assert np.all(np.isfinite(factors.elbo))
    assert np.diff(factors.elbo).min() > -1e-7 * abs(factors.elbo[-1])
    prediction = factors.predict(table.user_ids[table.users], table.item_ids[table.items])
    low, high = prediction.interval(0.99)
    assert np.all((low < table.values) & (table.values < high))


def test_rows_without_ratings_have_the_prior_as_posterior():
    ratings = read_ratings(
        (USERS[~COLD], ITEMS[~COLD], VALUES[~COLD]), item_ids=np.arange(NUM_ITEMS)
    )
    settings = {"item_features": X, "item_prior": Fixed(0.3, 0.2), "dtype": np.float64}
    # The posterior is that of the sweep's start, whose offsets are those of the sweep before.
    before, factors = (fit(ratings, max_sweeps=n, tolerance=0, **settings) for n in (9, 10))
    rows = np.arange(NUM_COLD)
    np.testing.assert_allclose(factors.items.means(rows), before.items.prior_means(rows),
                               atol=1e-12)  # fmt: skip
    expected = np.broadcast_to(np.diag([0.3, 0.3, 0.2]), (NUM_COLD, 3, 3))
    np.testing.assert_allclose(factors.items.covariances(rows), expected, atol=1e-9)
