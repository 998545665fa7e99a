"""Predictions, rankings, newcomers, files and trees, against draws and dense algebra."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from ppl_ext.factorization import (
    ExpectedRating,
    MatrixFactorization,
    Thompson,
    UpperConfidence,
    load_factors,
    read_ratings,
    simulate_ratings,
    split_by_user,
)
from ppl_ext.factorization.result.prediction import measure_ratings
from ppl_ext.factorization.result.ranking import combine
from ppl_ext.storage import read_arrays, write_arrays
from tests.hall.factorization import dense

RATINGS = simulate_ratings(num_users=80, num_items=50, density=0.25, seed=4).ratings


def fit(ratings=RATINGS, **settings):
    settings = {"num_threads": 1, "max_sweeps": 15, **settings}
    return MatrixFactorization(3, **settings).fit(ratings, progress_bar=False)


@pytest.fixture(scope="module", params=[True, False], ids=["biases", "no biases"])
def factors(request):
    return fit(biases=request.param)


def test_moments_are_those_of_draws(factors):
    rng = np.random.default_rng(0)
    users, items = np.array([3, 9]), np.array([7, 1])
    draws = np.array(
        [
            np.diag(
                combine(
                    factors.posterior,
                    factors.users.draw(rng, users),
                    factors.items.draw(rng, items),
                )
            )
            for _ in range(20_000)
        ]
    )
    mean, variance = measure_ratings(factors.posterior, users, items)
    # Four standard errors of means and of variances over 20,000 draws.
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 4 * np.sqrt(variance / 20_000))
    np.testing.assert_allclose(draws.var(axis=0), variance, rtol=4 * np.sqrt(2.5 / 20_000))


def test_prediction_adds_the_noise_of_its_user_and_item(factors):
    prediction = factors.predict([0, 5], 7)
    noise = 1 / (
        factors.noise_precision * factors.users.weights[[0, 5]] * factors.items.weights[7]
    )
    np.testing.assert_allclose(prediction.sd**2, prediction.mean_sd**2 + noise)
    assert factors.predict([[0], [1]], [2, 3, 4]).mean.shape == (2, 3)
    low, high = prediction.interval(0.5)
    np.testing.assert_allclose((high - low) / 2, 0.6744897501960817 * prediction.sd)
    with pytest.raises(ValueError, match=r"level=90; expected a probability"):
        prediction.interval(90)


def test_expected_ranking_is_that_of_the_predictions(factors):
    ranking = factors.top_n([2, 11], 5)
    for user, items, scores in zip([2, 11], ranking.items, ranking.scores, strict=True):
        every = factors.predict(user, factors.items.ids)
        best = np.argsort(-every.mean)[:5]
        assert items.tolist() == factors.items.ids[best].tolist()
        np.testing.assert_allclose(scores, every.mean[best])
        upper = factors.top_n(user, 5, policy=UpperConfidence(2.0))
        best = np.argsort(-(every.mean + 2 * every.mean_sd))[:5]
        assert upper.items[0].tolist() == factors.items.ids[best].tolist()


def test_what_was_rated_is_left_out(factors):
    ranking = factors.top_n(factors.users.ids, 10, exclude=RATINGS)
    rated = set(zip(RATINGS.users.tolist(), RATINGS.items.tolist(), strict=True))
    for user, items in zip(ranking.users.tolist(), ranking.items.tolist(), strict=True):
        assert not {(user, item) for item in items} & rated


def test_thompson_draws_are_posterior_draws(factors):
    rows = np.array([6])
    scores = np.concatenate(
        [Thompson(seed).score(factors.posterior, rows) for seed in range(2000)]
    )
    mean, variance = measure_ratings(factors.posterior, np.full(50, 6), np.arange(50))
    # 50 means at once: 4.5 standard errors.
    assert np.all(np.abs(scores.mean(axis=0) - mean) < 4.5 * np.sqrt(variance / 2000))
    np.testing.assert_allclose(scores.std(axis=0), np.sqrt(variance), rtol=0.12)
    together = Thompson(1).score(factors.posterior, np.array([2, 6]))
    np.testing.assert_allclose(
        together[1], Thompson(1).score(factors.posterior, rows)[0], rtol=1e-12
    )


def test_top_n_needs_as_many_items(factors):
    with pytest.raises(ValueError, match="n=51 of 50 items"):
        factors.top_n(0, 51)


@pytest.mark.parametrize("label", [999, "ann"])
def test_unknown_labels_are_named(factors, label):
    with pytest.raises(KeyError, match=f"user {label!r} is unknown.*fold_in_users"):
        factors.predict(label, 3, unknown="raise")
    with pytest.raises(KeyError, match=f"item {label!r} is unknown.*fold_in_items"):
        factors.predict(3, label, unknown="raise")


@pytest.mark.parametrize("by_user", [True, False])
def test_folding_in_is_the_conditional_of_the_newcomer(by_user):
    factors = fit(dtype=np.float64)
    old = np.array([1, 4, 30])
    values = np.array([4.0, 2.0, 5.0])
    new = np.full(3, 1000)
    if by_user:
        grown = factors.fold_in_users(read_ratings((new, old, values)))
        side, other = grown.users, factors.items
    else:
        grown = factors.fold_in_items(read_ratings((old, new, values)))
        side, other = grown.items, factors.users
    assert side.ids[-1] == 1000
    mean, second = dense.design(other.means(old), other.covariances(old), True)
    prior, weight = side.prior, 1.0
    for _ in range(200):  # the factors and the weight depend on each other
        loc, lambda_ = dense.update_row(
            values - factors.center, mean, second, other.weights[old], prior.precision,
            prior.precision @ prior.mean, factors.noise_precision, weight,
        )  # fmt: skip
        x = np.append(loc, 1.0)
        xx = np.outer(x, x)
        xx[:-1, :-1] += np.linalg.inv(lambda_)
        error = sum(
            g * dense.expected_error(r, (x, xx), (m, s))
            for g, r, m, s in zip(
                other.weights[old], values - factors.center, mean, second, strict=True
            )
        )
        weight = (side.concentration + 1.5) / (
            side.concentration + factors.noise_precision * error / 2
        )
    row = np.array([len(side) - 1])
    np.testing.assert_allclose(side.means(row)[0], loc, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        side.covariances(row)[0], np.linalg.inv(lambda_), rtol=1e-4, atol=1e-6
    )
    assert side.weights[-1] == pytest.approx(weight, rel=1e-4)


def test_folded_users_are_predicted_better_than_strangers():
    known, new = split_by_user(RATINGS, 0.2)
    ids = np.unique(known.users)
    factors = fit(
        read_ratings((known.users, known.items, known.values), item_ids=RATINGS.item_ids)
    )
    assert len(factors.users) == len(ids)
    seen, asked = (
        new.select(np.arange(len(new)) % 2 == 0),
        new.select(np.arange(len(new)) % 2 == 1),
    )
    asked = asked.select(np.isin(asked.users, seen.users))
    assessment = factors.fold_in_users(seen).assess(asked)
    center = np.sqrt(np.mean((asked.values - factors.center) ** 2))
    assert assessment.rmse < 0.95 * center
    with pytest.raises(ValueError, match=r"user .* is known already"):
        factors.fold_in_users(known)
    with pytest.raises(KeyError, match="item 77 is unknown"):
        factors.fold_in_users(read_ratings(([1000], [77], [3.0])))


@pytest.mark.parametrize("labels", [np.arange(80), np.char.add("u", np.arange(80).astype(str))])
def test_saving_keeps_everything(tmp_path, labels):
    factors = fit(replace(RATINGS, user_ids=labels))
    factors.save(tmp_path / "factors.safetensors")
    again = load_factors(tmp_path / "factors.safetensors")
    assert repr(again) == repr(factors)
    assert again.users.ids.tolist() == factors.users.ids.tolist()
    np.testing.assert_array_equal(again.elbo, factors.elbo)
    ours, theirs = (each.predict(labels[:5], [3]).sd for each in (factors, again))
    np.testing.assert_array_equal(ours, theirs)
    assert again.log.reason == factors.log.reason


def test_labels_are_no_part_of_the_header(tmp_path):
    labels = np.array([f"a rather long name of a user, number {at:07}" for at in range(20_000)])
    labels[:3] = ["", "é\udcff", "a\u2028b"]
    factors = fit(replace(RATINGS, user_ids=np.concatenate([labels[:80], labels[80:]])))
    factors.save(tmp_path / "factors")
    header = int.from_bytes((tmp_path / "factors").read_bytes()[:8], "little")
    assert header < 10_000
    assert load_factors(tmp_path / "factors").users.ids.tolist() == labels.tolist()


def test_tables_in_the_longer_tiles_of_earlier_files_are_read(tmp_path):
    # Enough factors for a triangle of several tiles.
    settings = MatrixFactorization(10, num_threads=1, max_sweeps=1)
    factors = settings.fit(RATINGS, progress_bar=False)
    factors.save(tmp_path / "factors")
    arrays, header = read_arrays(tmp_path / "factors")
    for name in ("users.table", "items.table"):
        triangles = arrays[name].transpose(1, 0, 2).reshape(arrays[name].shape[1], -1)
        rows, packed = triangles.shape
        padded = np.zeros((rows, -(-packed // 64) * 64), triangles.dtype)
        padded[:, :packed] = triangles
        arrays[name] = padded.reshape(rows, -1, 64).transpose(1, 0, 2).copy()
    ours = ("format", "ppl_ext_version", "names", "checksum")
    write_arrays(tmp_path / "old", arrays, {k: v for k, v in header.items() if k not in ours})
    again = load_factors(tmp_path / "old")
    np.testing.assert_array_equal(again.users.table, factors.users.table)
    np.testing.assert_array_equal(again.items.table, factors.items.table)


def test_files_of_the_first_format_keep_their_labels(tmp_path):
    factors = fit(replace(RATINGS, user_ids=np.char.add("u", np.arange(80).astype(str))))
    factors.save(tmp_path / "factors")
    arrays, header = read_arrays(tmp_path / "factors")
    header["users"]["ids"] = factors.users.ids.tolist()
    arrays = {name: each for name, each in arrays.items() if "users.ids" not in name}
    checksum = 0
    for array in arrays.values():
        checksum = zlib.crc32(array.tobytes(), checksum)
    header |= {"format": 1, "names": list(arrays), "checksum": checksum}
    save_file(arrays, tmp_path / "old", metadata={"ppl_ext": json.dumps(header)})
    with pytest.warns(UserWarning, match="'old' is of format 1"):
        again = load_factors(tmp_path / "old")
    assert again.users.ids.tolist() == factors.users.ids.tolist()
    assert again.predict("u7", 3).sd == factors.predict("u7", 3).sd


def test_damaged_files_are_refused(tmp_path, factors):
    path = tmp_path / "factors.safetensors"
    factors.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut off, damaged or no file of ppl_ext"):
        load_factors(path)


def test_tree_has_labelled_users_and_items(factors):
    tree = factors.to_datatree(num_draws=300)
    posterior = tree["posterior"]
    assert posterior["user_factors"].sizes == {"chain": 1, "draw": 300, "user": 80, "factor": 3}
    assert ("user_bias" in posterior) == factors.posterior.biases
    mean = posterior["item_factors"].sel(item=7).mean(("chain", "draw")).values
    sd = np.sqrt(np.diag(factors.items.covariances(np.array([7]))[0])[:3])
    assert np.all(
        np.abs(mean - factors.items.means(np.array([7]))[0, :3]) < 4.5 * sd / np.sqrt(300)
    )


def test_policies_say_what_they_are():
    assert repr(ExpectedRating()) == "ExpectedRating()"
    assert UpperConfidence().width == 1.0
