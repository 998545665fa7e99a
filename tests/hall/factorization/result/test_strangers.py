"""Users and items that a fit does not know: the prior answers, and they are judged apart."""

import numpy as np
import pytest

from ppl_ext.factorization import MatrixFactorization, read_ratings, simulate_ratings

RATINGS = simulate_ratings(num_users=80, num_items=50, density=0.25, seed=4).ratings
NAMES = RATINGS.user_ids[RATINGS.users], RATINGS.item_ids[RATINGS.items]


@pytest.fixture(scope="module", params=[True, False], ids=["biases", "no biases"])
def factors(request):
    model = MatrixFactorization(3, biases=request.param, num_threads=1, max_sweeps=15)
    return model.fit(RATINGS, progress_bar=False)


def test_the_prior_answers_for_strangers(factors):
    rng = np.random.default_rng(0)
    found = factors.predict([3, 999, 999], [888, 5, 888])
    assert found.known.tolist() == [False, False, False]
    k, count = factors.num_factors, 200_000

    def draw(side, row):
        if row is not None:
            mean, cov = side.means(np.array([row]))[0], side.covariances(np.array([row]))[0]
        else:
            mean, cov = side.prior.mean, np.linalg.inv(side.prior.precision)
        return rng.multivariate_normal(mean, cov, size=count)

    for pair, (user, item) in enumerate([(3, None), (None, 5), (None, None)]):
        w, v = draw(factors.users, user), draw(factors.items, item)
        values = factors.center + np.sum(w[:, :k] * v[:, :k], axis=1)
        values += np.sum(w[:, k:] + v[:, k:], axis=1)
        # Five standard errors of a mean over these draws, and as much for its deviation.
        assert abs(values.mean() - found.mean[pair]) < 5 * values.std() / np.sqrt(count)
        assert found.mean_sd[pair] == pytest.approx(values.std(), rel=0.03)
        weights = [1.0 if row is None else side.weights[row]
                   for row, side in ((user, factors.users), (item, factors.items))]  # fmt: skip
        noise = 1 / (factors.noise_precision * weights[0] * weights[1])
        assert found.sd[pair] ** 2 == pytest.approx(found.mean_sd[pair] ** 2 + noise)


def test_known_pairs_are_as_they_are_alone(factors):
    mixed = factors.predict([3, 999, 7], [5, 5, 888])
    alone = factors.predict(3, 5)
    assert mixed.known.tolist() == [True, False, False]
    assert (mixed.mean[0], mixed.sd[0]) == (alone.mean, alone.sd)
    # Of a stranger all items differ by what is known of the items alone.
    table = factors.predict([[999], [998]], factors.items.ids)
    np.testing.assert_array_equal(table.mean[0], table.mean[1])


def test_one_pair_is_a_number(factors):
    prediction = factors.predict(3, 5)
    assert float(prediction.mean) == factors.predict([3], [5]).mean[0]
    assert [float(end) for end in prediction.interval(0.5)] == sorted(prediction.interval(0.5))


def test_strangers_are_counted_and_judged_apart(factors):
    new = np.array([1000, 1000, 2]), np.array([3, 777, 777]), np.array([4.0, 1.0, 5.0])
    both = [np.concatenate(pair) for pair in zip((*NAMES, RATINGS.values), new, strict=True)]
    found = factors.assess(read_ratings(tuple(both)))
    alone = factors.assess(RATINGS)
    assert (found.count, found.rmse, found.coverage) == (alone.count, alone.rmse, alone.coverage)
    assert found.newcomers.count == 3
    errors = factors.predict(*new[:2]).mean - new[2]
    assert found.newcomers.rmse == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert "Apart: 3 ratings by users or of items unknown to the fit, RMSE" in str(found)
    assert alone.newcomers is None
    # Where all are strangers they are what is judged.
    assert factors.assess(read_ratings(new)).count == 3
    with pytest.raises(KeyError, match="user 1000 is unknown"):
        factors.assess(read_ratings(tuple(both)), unknown="raise")
    with pytest.raises(ValueError, match="unknown='skip'; expected 'prior'"):
        factors.predict(3, 5, unknown="skip")


def test_text_where_labels_are_integers_is_no_stranger(factors):
    with pytest.raises(KeyError, match="user '3' is unknown; expected one of 80 such as 0"):
        factors.predict("3", 5)


def test_strangers_among_features():
    x = np.repeat([[-1.0], [1.0]], 25, axis=0)
    values = 3 + x[RATINGS.items, 0] + 0.1 * np.random.default_rng(0).normal(size=len(RATINGS))
    ratings = read_ratings((*NAMES, values), item_ids=RATINGS.item_ids)
    model = MatrixFactorization(2, num_threads=1)
    factors = model.fit(ratings, item_features=x, progress_bar=False)
    # Of whom no feature is told: half of the items are at two, half at four.
    stranger = factors.predict(3, 999)
    assert float(stranger.mean) == pytest.approx(3.0, abs=0.15)
    assert float(stranger.mean_sd) == pytest.approx(1.0, abs=0.15)
    told = factors.predict(3, [998, 999], item_features=([998, 999], np.array([[-1.0], [1.0]])))
    assert told.known.tolist() == [False, False]
    np.testing.assert_allclose(told.mean, [2.0, 4.0], atol=0.2)
    aside = read_ratings(([3, 4], [998, 999], [2.0, 4.0]))
    known = {"item_features": ([998, 999], np.array([[-1.0], [1.0]]))}
    assert factors.assess(aside, **known).rmse < 0.3 < factors.assess(aside).rmse
