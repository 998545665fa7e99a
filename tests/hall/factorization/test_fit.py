"""Fits: the ELBO climbs, answers repeat, odd tables and interruptions are taken in stride."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from ppl_ext.factorization import (
    ARD,
    Fixed,
    FullCovariance,
    Isotropic,
    MatrixFactorization,
    Noise,
    Ratings,
    read_ratings,
    simulate_ratings,
    split_by_row,
)

SIMULATION = simulate_ratings(num_users=300, num_items=200, density=0.12, seed=5)
RATINGS = SIMULATION.ratings


def fit(ratings=RATINGS, num_factors=4, start=None, checkpoint=None, **settings):
    settings = {"num_threads": 1, **settings}
    model = MatrixFactorization(num_factors, **settings)
    return model.fit(ratings, start=start, checkpoint=checkpoint, progress_bar=False)


@pytest.mark.parametrize(
    ("prior", "noise", "diagonal"),
    list(
        itertools.product(
            [Fixed(0.3), Isotropic(), ARD(), FullCovariance()],
            [Noise(), Noise(0.5, by_user=False, by_item=False)],
            [False, True],
        )
    ),
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elbo_never_falls(prior, noise, diagonal, dtype):
    factors = fit(
        user_prior=prior, item_prior=prior, noise=noise, diagonal=diagonal, dtype=dtype,
        max_sweeps=40, tolerance=0,
    )  # fmt: skip
    assert len(factors.elbo) == 40
    assert np.diff(factors.elbo).min() > -1e-8 * abs(factors.elbo[-1])


def test_predictions_find_the_truth_and_know_their_error():
    simulation = simulate_ratings(num_users=600, num_items=400, density=0.15, seed=6)
    ratings = simulation.ratings
    train, test = split_by_row(ratings, 0.2, seed=1)
    factors = fit(train)
    assessment = factors.assess(test)
    assert assessment.ok
    # Of 6,000 ratings three standard errors of the fraction are 0.012; Gaussian intervals of
    # ratings whose noise weights are uncertain cover a little less than they should.
    assert abs(assessment.coverage[0.9] - 0.9) < 0.02
    best, spread = np.sqrt(np.mean(simulation.noise_sd**2)), np.std(ratings.values)
    assert assessment.rmse < spread - 0.7 * (spread - best)
    everyone = factors.predict(ratings.user_ids[ratings.users], ratings.item_ids[ratings.items])
    off = (everyone.mean - simulation.truth) / everyone.mean_sd
    assert 0.8 < np.std(off) < 1.25


def test_of_many_ratings_little_is_left_but_their_noise():
    """Nearly three hundred ratings for each user: little is left to learn beside the noise."""
    simulation = simulate_ratings(num_users=500, num_items=500, density=0.6, seed=6)
    train, test = split_by_row(simulation.ratings, 0.1, seed=1)
    noise = np.sqrt(np.mean(simulation.noise_sd**2))
    assert fit(train).assess(test).rmse < 1.05 * noise


def test_weights_find_the_careless():
    factors = fit(tolerance=1e-5)
    counts = np.bincount(RATINGS.users)
    busy = counts > 40
    spread = np.bincount(RATINGS.users, SIMULATION.noise_sd**2)[busy] / counts[busy]
    assert np.corrcoef(factors.users.weights[busy], 1 / spread)[0, 1] > 0.7


def test_threads_and_repetition_change_nothing():
    alone, again, together = fit(), fit(), fit(num_threads=3)
    assert np.array_equal(alone.elbo, again.elbo)
    assert np.array_equal(alone.elbo, together.elbo)
    assert np.array_equal(alone.users.table, together.users.table)


def test_other_units_give_the_same_answer():
    # Ratings in percent instead of stars: predictions and their errors scale along.
    settings = {"dtype": np.float64, "max_sweeps": 10, "tolerance": 0}
    stars = fit(**settings)
    percent = fit(replace(RATINGS, values=20 * RATINGS.values), **settings)
    ours, theirs = (each.predict(np.arange(50), np.arange(50)) for each in (stars, percent))
    np.testing.assert_allclose(20 * ours.mean, theirs.mean, rtol=1e-4)
    np.testing.assert_allclose(20 * ours.sd, theirs.sd, rtol=1e-4)
    shift = len(RATINGS) * np.log(20)
    assert percent.elbo[-1] == pytest.approx(stars.elbo[-1] - shift, rel=1e-7)


def test_restarts_keep_the_best():
    factors = fit(num_starts=3, max_sweeps=5, tolerance=0)
    assert len(set(factors.log.start_losses)) == 3
    assert -factors.elbo[-1] == min(factors.log.start_losses)


def test_single_precision_agrees_with_double():
    single, double = (fit(dtype=dtype, max_sweeps=10) for dtype in (np.float32, np.float64))
    assert single.elbo[-1] == pytest.approx(double.elbo[-1], rel=1e-6)


def test_ratings_held_out_end_a_fit_of_the_wrong_model():
    # Items that are nearly always exactly zero: their noise shrinks to nothing, and then they are
    # not.
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((300, 120)) < 0.2)
    often = rng.beta(0.3, 0.8, size=120)[items]
    values = np.where(rng.random(len(users)) < often, rng.normal(0.6, 0.3, len(users)), 0.0)
    train, test = split_by_row(read_ratings((users, items, values)), 0.2)
    held_out, test = split_by_row(test, 0.5)
    model = MatrixFactorization(8, num_threads=1, tolerance=0, max_sweeps=80)
    early = model.fit(train, held_out=held_out, progress_bar=False)
    late = model.fit(train, progress_bar=False)
    assert early.log.converged
    assert early.log.reason == "the ratings held out became no likelier in 3 sweeps"
    assert early.assess(test).nll < late.assess(test).nll - 1
    last = [
        model.fit(train, progress_bar=False).assess(held_out).nll
        for model in (replace(model, max_sweeps=early.sweeps - back) for back in (0, 3))
    ]
    assert last[0] >= last[1]


def test_ratings_held_out_are_checked():
    model = MatrixFactorization(2)
    with pytest.raises(ValueError, match="held_out has no ratings"):
        model.fit(RATINGS, held_out=RATINGS.select(np.zeros(len(RATINGS), dtype=bool)))
    with pytest.raises(ValueError, match="held_out has ratings of item 999, and 0 more"):
        model.fit(RATINGS, held_out=read_ratings(([0], [999], [3.0])))


def test_start_of_other_settings_is_refused():
    with pytest.raises(ValueError, match=r"start has .* \(4, True, True, True\); expected \(2,"):
        fit(num_factors=2, start=fit(max_sweeps=1))


def test_rows_without_ratings_have_the_prior_as_posterior():
    ratings = Ratings(
        RATINGS.users, RATINGS.items, RATINGS.values,
        np.arange(RATINGS.num_users + 2), np.arange(RATINGS.num_items + 1),
    )  # fmt: skip
    factors = fit(ratings, user_prior=Fixed(0.3, 0.2), max_sweeps=8)
    rows = np.array([RATINGS.num_users, RATINGS.num_users + 1])
    np.testing.assert_allclose(factors.users.means(rows), 0, atol=1e-12)
    np.testing.assert_allclose(
        factors.users.covariances(rows)[0], np.diag([0.3] * 4 + [0.2]), rtol=1e-6, atol=1e-7
    )
    column = np.array([RATINGS.num_items])
    assert not np.any(np.isin(ratings.items, column))
    np.testing.assert_allclose(factors.items.weights[column], 1, rtol=1e-6)
    prior = factors.items.prior
    assert np.abs(factors.items.means(column) - prior.mean).max() < 0.1
    assert np.linalg.norm(factors.items.covariances(column)[0] @ prior.precision - np.eye(5)) < 0.2
    known = factors.predict(0, np.arange(5)).mean_sd
    assert np.all(factors.predict(RATINGS.num_users, np.arange(5)).mean_sd > known)


@pytest.mark.filterwarnings("ignore:.*more than the ratings can carry")
@pytest.mark.parametrize(
    "ratings",
    [
        pytest.param(([1], [1], [4.0]), id="one rating"),
        pytest.param((np.zeros(30, int), np.arange(30), np.arange(30) % 5), id="one user"),
        pytest.param((np.arange(30), np.zeros(30, int), np.arange(30) % 5), id="one item"),
        pytest.param((np.arange(60) // 6, np.arange(60) % 6, np.full(60, 3.0)), id="constant"),
        pytest.param((np.arange(6) // 3, np.arange(6) % 3, np.arange(6)), id="few"),
    ],
)
@pytest.mark.parametrize("prior", [Isotropic(), FullCovariance()])
def test_odd_tables(ratings, prior):
    table = read_ratings(ratings)
    factors = fit(table, 20, user_prior=prior, item_prior=prior, max_sweeps=100)
    prediction = factors.predict(table.user_ids[table.users], table.item_ids[table.items])
    assert np.all(np.isfinite(factors.elbo))
    assert np.diff(factors.elbo).min() > -1e-7 * abs(factors.elbo[-1])
    assert np.all(prediction.sd > 0)
    low, high = prediction.interval(0.99)
    assert np.all((low < table.values) & (table.values < high))


@pytest.mark.parametrize(
    "settings",
    [
        {"num_factors": 0},
        {"num_factors": 2.5},
        {"max_sweeps": 0},
        {"num_starts": 0},
        {"num_threads": 0},
        {"tolerance": -1.0},
        {"tolerance": float("nan")},
        {"start_sds": (0.0, 1.0)},
        {"dtype": np.int32},
    ],
)
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match=f"MatrixFactorization: {next(iter(settings))}="):
        MatrixFactorization(**settings)


def test_nothing_to_fit():
    with pytest.raises(ValueError, match="there are no ratings"):
        fit(RATINGS.select(np.zeros(len(RATINGS), dtype=bool)))


def test_numba_is_asked_for_by_name(monkeypatch):
    monkeypatch.setattr("ppl_ext.factorization.model.side_rows.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "ppl-ext\[factorization\]"'):
        fit()
