"""What cannot be fitted, asked or updated is refused with the argument's name, and limits hold."""

from dataclasses import replace

import numpy as np
import pandas
import pytest

from ppl_ext.factorization import (
    ARD,
    Fixed,
    FullCovariance,
    MatrixFactorization,
    StreamedFactorization,
    Thompson,
    UpperConfidence,
    cut_by_user,
    load_factors,
    read_ratings,
    simulate_ratings,
    update_factors,
)

RATINGS = simulate_ratings(num_users=40, num_items=30, density=0.3, seed=0).ratings
TEXT = replace(
    RATINGS,
    user_ids=np.array([f"u{user:02}" for user in RATINGS.user_ids]),
    item_ids=np.array([f"i{item:02}" for item in RATINGS.item_ids]),
)
NOTHING = RATINGS.select(np.zeros(len(RATINGS), dtype=bool))


def fit(ratings=RATINGS, **settings):
    settings = {"num_threads": 1, **settings}
    return MatrixFactorization(3, **settings).fit(ratings, progress_bar=False)


@pytest.fixture(scope="module")
def factors():
    return fit()


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"user_prior": FullCovariance}, TypeError, "user_prior=.*an object and no class"),
        ({"item_prior": "ard"}, TypeError, "item_prior='ard'; expected AbstractPrior"),
        ({"noise": 0.5}, TypeError, "noise=0.5; expected Noise"),
        ({"center": float("nan")}, ValueError, "center=nan; expected a finite number"),
        ({"center": "3"}, ValueError, "center='3'"),
        ({"start_sds": 0.1}, ValueError, "start_sds=0.1; expected two positive"),
        ({"start_sds": (0.1, 0.2, 0.3)}, ValueError, "start_sds=.*two positive"),
        ({"tolerance": "small"}, ValueError, "tolerance='small'"),
        ({"seed": -1}, ValueError, "seed=-1; expected an integer that is not negative"),
        ({"max_sweeps": True}, ValueError, "max_sweeps=True; expected an integer"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused(settings, kind, message):
    with pytest.raises(kind, match=message):
        MatrixFactorization(**settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(float("inf")), "both variances must be positive and finite"),
        (lambda: ARD(-1.0), "must be finite and not negative. Write ARD"),
        (lambda: FullCovariance(float("nan")), "must be finite and not negative"),
        (lambda: UpperConfidence(float("nan")), "the width must be finite"),
        (lambda: Thompson(-1), "the seed must not be negative"),
        (lambda: StreamedFactorization(max_passes=2.5), "max_passes=2.5"),
        (lambda: cut_by_user(RATINGS, 2.5), "size=2.5; expected an integer"),
    ],
)
def test_numbers_outside_their_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("ask", "kind", "message"),
    [
        (lambda f: MatrixFactorization(3).fit(([1], [1], [1.0])), TypeError, "got a tuple"),
        (lambda f: MatrixFactorization(3).fit(RATINGS, held_out=0.1), TypeError, "held_out is a"),
        (lambda f: MatrixFactorization(3).fit(RATINGS, start="a"), TypeError, "load_factors"),
        (lambda f: MatrixFactorization(3, center=9).fit(RATINGS, start=f), ValueError, "center"),
        (lambda f: f.top_n(3, 2.5), ValueError, "n=2.5 of 30 items"),
        (lambda f: f.top_n(3, 2, policy=Thompson), TypeError, "policy=.*expected an object"),
        (lambda f: f.predict([1, 2, 3], [1, 2]), ValueError, r"users have the shape \(3,\)"),
        (lambda f: f.predict(None, 5), KeyError, "user None is unknown"),
        (lambda f: f.assess(NOTHING), ValueError, "there are no ratings"),
        (lambda f: f.to_datatree(0), ValueError, "num_draws=0"),
        (lambda f: update_factors(f, RATINGS, max_sweeps=2.5), ValueError, "max_sweeps=2.5"),
        (lambda f: update_factors(f, TEXT), ValueError, "labels such as 'u00', and the fit 0"),
        (lambda f: StreamedFactorization(3), TypeError, "model=3; expected settings"),
        (lambda f: StreamedFactorization().fit(RATINGS), TypeError, "got a Ratings"),
    ],
)
def test_questions_without_an_answer_are_refused(factors, ask, kind, message):
    with pytest.raises(kind, match=message):
        ask(factors)


def test_integers_do_not_become_new_users_of_a_fit_whose_labels_are_text():
    with pytest.raises(ValueError, match="labels such as 0, and the fit 'u00'"):
        update_factors(fit(TEXT), RATINGS)


def test_no_new_ratings_change_nothing(factors):
    assert update_factors(factors, NOTHING) is factors
    assert len(factors.fold_in_users(NOTHING).users) == len(factors.users)


def test_text_is_found_as_pandas_keeps_it():
    factors = fit(TEXT)
    users, items = (pandas.Series(labels, dtype=object) for labels in (["u03"], ["i05"]))
    assert factors.predict(users, items).mean == factors.predict("u03", "i05").mean


@pytest.mark.parametrize("ratings", [RATINGS, TEXT], ids=["integers", "text"])
def test_stream_that_keeps_no_users_can_be_saved_and_asked(ratings, tmp_path):
    stream = StreamedFactorization(MatrixFactorization(3), max_passes=2, keep_users=False)
    items = stream.fit(cut_by_user(ratings, 100), progress_bar=False)
    items.save(tmp_path / "items.safetensors")
    again = load_factors(tmp_path / "items.safetensors")
    user, item = ratings.user_ids[ratings.users[0]], ratings.item_ids[0]
    with pytest.raises(KeyError, match="expected none: none is kept"):
        again.predict(user, item)
    assert again.to_datatree(2)["posterior"].sizes["user"] == 0
    grown = again.fold_in_users(ratings)
    assert grown.predict(user, item).mean == items.fold_in_users(ratings).predict(user, item).mean


@pytest.mark.parametrize(("scale", "shift"), [(1e6, 0.0), (1e-6, 0.0), (1.0, 1e6), (1e-6, 1e3)])
def test_predictions_follow_the_units_of_the_ratings(scale, shift):
    # The same model in other units; both starts are in units of the ratings' spread.
    values = RATINGS.values.astype(np.float64)
    other = read_ratings(
        (RATINGS.users, RATINGS.items, values * scale + shift),
        user_ids=RATINGS.user_ids,
        item_ids=RATINGS.item_ids,
    )
    settings = {"max_sweeps": 60, "tolerance": 0.0, "dtype": np.float64}
    one, two = fit(**settings), fit(other, **settings)
    pairs = RATINGS.user_ids[:, None], RATINGS.item_ids
    near, far = one.predict(*pairs), two.predict(*pairs)
    assert np.allclose((far.mean - shift) / scale, near.mean, atol=1e-4)
    assert np.allclose(far.sd / scale, near.sd, rtol=1e-4)
    assert np.allclose(far.mean_sd / scale, near.mean_sd, rtol=1e-4)
    assert two.elbo[-1] + len(RATINGS) * np.log(scale) == pytest.approx(one.elbo[-1], abs=1e-3)


@pytest.mark.parametrize("scale", [1e20, 1e-20])
def test_ratings_that_single_precision_cannot_hold_are_refused(scale):
    values = RATINGS.values.astype(np.float64) * scale
    ratings = read_ratings((RATINGS.users, RATINGS.items, values))
    with pytest.raises(ValueError, match="as single precision holds no more"):
        fit(ratings)
    assert np.isfinite(fit(ratings, dtype=np.float64, max_sweeps=2).elbo[-1])


def test_features_far_from_zero_say_what_they_say_near_it():
    x = np.random.default_rng(0).normal(size=(30, 2))
    settings = MatrixFactorization(3, dtype=np.float64, max_sweeps=10, tolerance=0.0)
    near, far = (
        settings.fit(RATINGS, item_features=features, progress_bar=False)
        for features in (x, x * 1e-3 + 1e6)
    )
    assert far.elbo[-1] == pytest.approx(near.elbo[-1], abs=1e-3)
    assert np.allclose(
        far.items.regression.coefficients, near.items.regression.coefficients, atol=1e-4
    )
