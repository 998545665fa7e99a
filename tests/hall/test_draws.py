"""Draws of a guide: what they refuse, their resampling and their tree."""

import re

import numpy as np
import pytest
from scipy import stats

from ppl_ext.draws import Draws
from ppl_ext.draws.resampling import choose_rows


def gaussian_draws(count=20_000, scale=2.0, seed=0, **fields):
    """Draws of N(0, scale^2) as a guide of N(0, 1)."""
    x = scale * np.random.default_rng(seed).normal(size=count)
    return Draws(
        {"x": x, "pair": np.stack([x, -x], axis=1)},
        log_p=stats.norm.logpdf(x),
        log_q=stats.norm.logpdf(x, scale=scale),
        dims={"pair": ("side",)},
        **fields,
    )


def test_log_weights_are_the_difference_of_the_densities():
    draws = gaussian_draws(100)
    expected = stats.norm.logpdf(draws.values["x"]) - stats.norm.logpdf(draws.values["x"], scale=2)
    np.testing.assert_array_equal(draws.log_weights, expected)


def test_arrays_of_any_library_become_numpy():
    draws = Draws({"x": [1.0, 2.0]}, log_p=[0, 0], log_q=np.zeros(2, dtype=np.float32))
    assert isinstance(draws.values["x"], np.ndarray)
    assert draws.log_p.dtype == draws.log_q.dtype == np.float64


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"log_q": np.zeros(3)}, r"log_p has shape \(4,\) and log_q \(3,\)"),
        ({"log_p": np.zeros((2, 2)), "log_q": np.zeros((2, 2))}, "both must be"),
        ({"log_p": np.zeros(0), "log_q": np.zeros(0)}, "both must be"),
        ({"chains": 3}, "4 draws cannot be divided into chains=3"),
        ({"chains": 0}, "chains=0"),
        ({"values": {"x": np.zeros((2, 4))}}, r"site 'x' in values has shape \(2, 4\)"),
        ({"values": {"x": np.array(0.0)}}, r"site 'x' in values has shape \(\)"),
        ({"log_likelihood": {"y": np.zeros((3, 4))}}, "site 'y' in log_likelihood"),
        ({"posterior_predictive": {"y": np.zeros(3)}}, "site 'y' in posterior_predictive"),
    ],
)
def test_shapes_that_disagree_are_refused(fields, message):
    good = {"values": {"x": np.zeros(4)}, "log_p": np.zeros(4), "log_q": np.zeros(4)}
    with pytest.raises(ValueError, match=message):
        Draws(**{**good, **fields})


def test_resampled_draws_follow_the_target():
    resampled = gaussian_draws(40_000).resample(seed=1)
    x = resampled.values["x"]
    # Standard errors of 40,000 weighted draws, five times over.
    assert abs(x.mean()) < 5 * 1.2 / np.sqrt(len(x))
    assert abs(x.std() - 1) < 5 * 1.2 / np.sqrt(len(x))
    assert resampled.resampled
    assert resampled.khat < 0.5


def test_resampling_keeps_every_array_of_a_draw_together():
    raw = gaussian_draws(1000, chains=2)
    raw = Draws(
        **{**vars(raw), "log_likelihood": {"y": raw.values["pair"]},
           "posterior_predictive": {"y": raw.values["pair"] + 1}, "observed": {"y": np.zeros(2)}}
    )  # fmt: skip
    draws = raw.resample(seed=0, num_draws=300)
    x = draws.values["x"]
    assert (draws.num_draws, draws.chains) == (300, 1)
    np.testing.assert_array_equal(draws.values["pair"], np.stack([x, -x], axis=1))
    np.testing.assert_array_equal(draws.log_likelihood["y"], draws.values["pair"])
    np.testing.assert_array_equal(draws.posterior_predictive["y"], draws.values["pair"] + 1)
    np.testing.assert_allclose(draws.log_p, stats.norm.logpdf(x))
    np.testing.assert_allclose(draws.log_q, stats.norm.logpdf(x, scale=2))
    np.testing.assert_array_equal(draws.observed["y"], np.zeros(2))


def test_equal_weights_keep_each_draw_once_in_another_order():
    draws = gaussian_draws(1000, scale=1.0)
    resampled = draws.resample(seed=0)
    np.testing.assert_array_equal(np.sort(resampled.values["x"]), np.sort(draws.values["x"]))
    assert not np.array_equal(resampled.values["x"], draws.values["x"])


def test_same_seed_same_draws():
    draws = gaussian_draws(1000)
    first, second, other = (draws.resample(seed=s).values["x"] for s in (4, 4, 5))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_draws_outside_the_support_are_never_taken():
    log_p = np.where(np.arange(2000) % 2, 0.0, -np.inf)
    draws = Draws({"x": np.arange(2000) % 2}, log_p=log_p, log_q=np.zeros(2000))
    assert draws.resample(seed=0).values["x"].min() == 1


def test_nan_weights_are_refused():
    log_p = np.zeros(2000)
    log_p[3] = np.nan
    with pytest.raises(ValueError, match="1 of 2000 log weights are NaN"):
        Draws({}, log_p=log_p, log_q=np.zeros(2000)).resample(seed=0)


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_khat_has_the_right_sign(shape):
    """ArviZ's psislw negates its argument, its pareto_khat(log_weights=True) is broken."""
    uniform = np.random.default_rng(8).uniform(size=40_000)
    log_weights = np.log(stats.genpareto.ppf(uniform, shape))
    draws = Draws({}, log_p=log_weights, log_q=np.zeros_like(log_weights))
    # k-hat of 600 tail draws has a standard error of (1 + k) / sqrt(600).
    assert draws.resample(seed=0).khat == pytest.approx(shape, abs=3 * (1 + shape) / np.sqrt(600))


def test_resampled_draws_are_not_weighted_again():
    resampled = gaussian_draws(2000).resample(seed=0)
    with pytest.raises(ValueError, match=r"Draws.resample: these draws follow the posterior"):
        resampled.resample(seed=0)
    with pytest.raises(ValueError, match=r"Draws.log_weights: these draws follow the posterior"):
        _ = resampled.log_weights


@pytest.mark.parametrize("num_draws", [0, -1, 2.5, True])
def test_at_least_one_draw_is_resampled(num_draws):
    with pytest.raises(ValueError, match=rf"num_draws = {num_draws}; expected a positive"):
        gaussian_draws(2000).resample(num_draws=num_draws)


def test_without_a_seed_the_same_draws_are_resampled_alike():
    first, second = (gaussian_draws(1000).resample().values["x"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = gaussian_draws(1000, seed=1).resample().values["x"]
    assert not np.array_equal(np.argsort(first), np.argsort(other))


def test_a_generator_goes_on_where_it_is():
    rng = np.random.default_rng(3)
    first, second = (gaussian_draws(1000).resample(rng).values["x"] for _ in range(2))
    np.testing.assert_array_equal(first, gaussian_draws(1000).resample(3).values["x"])
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("seed", "found"),
    [("a", "'a' (str)"), (-1, "-1 (int)"), (True, "True (bool)"), (np.zeros(2), "ndarray")],
)
def test_what_is_no_seed_is_refused(seed, found):
    with pytest.raises(ValueError, match=re.escape(f"seed is {found}; expected a whole")):
        gaussian_draws(100).resample(seed)


def test_draws_fit_on_a_line():
    draws = gaussian_draws(1000, chains=2)
    assert repr(draws) == "Draws(1,000 draws in 2 chains of x, pair[2])"
    many = Draws({f"site_{i}": np.zeros(4) for i in range(99)}, np.zeros(4), np.zeros(4))
    assert len(repr(many)) <= 88
    assert repr(many).endswith(" ...)")


def test_tree_has_both_densities_and_says_whether_it_was_resampled():
    draws = gaussian_draws(2000, chains=4)
    tree = draws.to_datatree(attrs={"guide": "AutoFullRank"})
    assert dict(tree["posterior"]["pair"].sizes) == {"chain": 4, "draw": 500, "side": 2}
    np.testing.assert_array_equal(tree["sample_stats"]["lp"], draws.log_p.reshape(4, 500))
    np.testing.assert_array_equal(tree["sample_stats"]["log_q"], draws.log_q.reshape(4, 500))
    assert tree.attrs["guide"] == "AutoFullRank"
    assert tree.attrs["resampled"] == 0
    assert "khat" not in tree.attrs
    assert tree.attrs["leave_one_out"] == "ppl_ext.draws.estimate_loo"

    resampled = draws.resample(seed=0)
    tree = resampled.to_datatree()
    assert tree["posterior"].attrs["resampled"] == 1
    assert tree["posterior"].attrs["khat"] == resampled.khat


@pytest.mark.parametrize("count", [7, 1000])
def test_every_row_is_chosen_as_often_as_its_share_to_within_one(count):
    rng = np.random.default_rng(0)
    weights = rng.standard_exponential(50) * (np.arange(50) % 5 > 0)
    for _ in range(100):
        chosen = np.bincount(choose_rows(weights, count, rng), minlength=50)
        assert chosen.sum() == count
        assert (chosen[weights == 0] == 0).all()
        assert np.abs(chosen - count * weights / weights.sum()).max() < 1


def test_rows_are_chosen_in_proportion_to_their_weights():
    rng = np.random.default_rng(0)
    chosen = np.concatenate([choose_rows(np.array([1.0, 2.0]), 1, rng) for _ in range(4000)])
    assert stats.binomtest(int(chosen.sum()), 4000, 2 / 3).pvalue > 0.001
