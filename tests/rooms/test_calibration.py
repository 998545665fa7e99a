"""Calibration of fits whose posterior is known, in both rooms."""

import numpy as np
import pytest

X = np.random.default_rng(0).normal(size=(12, 2)) @ np.array([[1.0, 0.95], [0.0, 0.3]])


def calibrate(host, model, *args, **options):
    options = {"num_simulations": 60, "progress_bar": False, **options}
    return host.random(host.room.calibrate, model, *args, **options)


@pytest.fixture(scope="module")
def regression(host):
    """Two coefficients that the data tell apart badly: the posterior is a narrow ridge."""

    def model(x, y):
        with host.ppl.plate("feature", 2):
            b = host.ppl.sample("b", host.dist.Normal(0.0, 3.0))
        host.ppl.deterministic("total", b.sum())
        with host.ppl.plate("row", x.shape[0]):
            host.ppl.sample("y", host.dist.Normal(x @ b, 1.0), obs=y)

    return model, host.array(X), host.array(np.full(12, 1e6))


def test_the_exact_posterior_is_calibrated(host, regression):
    # The data that were given, absurd ones, are not used.
    found = calibrate(host, *regression, guide=host.room.AutoFullRank)
    assert found.ok, str(found)
    assert {name: places.shape for name, places in found.pit.items()} == {
        "b": (60, 2), "total": (60,), "log likelihood": (60,),
    }  # fmt: skip
    assert dict(found.verdicts) == {"converged": 60}
    assert dict(found.to_datatree()["prior_sbc"]["b"].sizes)["feature"] == 2


def test_mean_field_on_a_ridge_is_too_narrow(host, regression):
    found = calibrate(host, *regression, guide=host.room.AutoMeanField)
    assert not found.ok
    departures = found.departures
    for element in ("b[0]", "b[1]"):
        assert departures[element].spread > 1.5
        assert departures[element].symmetry_p > 0.001


def test_marked_sites_are_compared_and_not_a_likelihood_of_two_meanings(host):
    """Draws carry the likelihood with the labels summed out, which is not that given labels."""

    def model(y):
        share = host.ppl.sample("share", host.dist.Beta(1.0, 1.0))
        with host.ppl.plate("row", 5):
            marks = {"enumerate": "parallel"}
            label = host.ppl.sample("label", host.dist.Bernoulli(share), infer=marks)
            host.ppl.sample("y", host.dist.Normal(2.0 * label - 1.0, 1.0), obs=y)

    y = host.array(np.zeros(5))
    found = calibrate(host, model, y, num_simulations=10, num_draws=100)
    assert found.ok, str(found)
    assert set(found.pit) == {"share", "label"}


def test_the_climb_is_calibrated_where_no_gaussian_is(host):
    """A scale with one datum: its posterior is skewed, the Gaussian too narrow in the tail."""

    def model(y):
        scale = host.ppl.sample("scale", host.dist.HalfNormal(1.0))
        host.ppl.sample("y", host.dist.Normal(0.0, scale), obs=y)

    y = host.array(np.array(0.0))
    found = calibrate(host, model, y, num_simulations=20)
    assert found.ok, str(found)
    assert set(found.verdicts) <= {"good", "not to be trusted"}
    assert found.verdicts["good"] >= 18


def test_counts_with_missing_ones(host):
    seen = np.arange(15) % 3 > 0

    def model(counts):
        rate = host.ppl.sample("rate", host.dist.Gamma(3.0, 1.0))
        with host.ppl.plate("row", 15):
            fn = host.dist.Poisson(rate).mask(host.array(seen))
            host.ppl.sample("counts", fn, obs=counts)

    counts = host.array(np.zeros(15))
    found = calibrate(host, model, counts, guide=host.room.AutoFullRank)
    assert found.ok, str(found)


def test_the_same_seed_gives_the_same_answer(host, regression):
    first, again = (calibrate(host, *regression, num_simulations=3) for _ in range(2))
    for name, places in first.pit.items():
        np.testing.assert_array_equal(places, again.pit[name])


def test_what_cannot_be_simulated_is_refused(host):
    def without_data(y):
        host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))

    def with_factor(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        host.ppl.factor("penalty", -(mu**2))
        host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    y = host.array(np.array(0.0))
    with pytest.raises(ValueError, match="no observed site"):
        calibrate(host, without_data, y)
    with pytest.raises(ValueError, match="'penalty' is a factor"):
        calibrate(host, with_factor, y)
    with pytest.raises(ValueError, match="num_simulations = 0"):
        calibrate(host, without_data, y, num_simulations=0)


def test_data_with_gaps_are_refused(host):
    seen = host.array(np.arange(6) % 2 == 0)

    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", 6):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y, obs_mask=seen)

    with pytest.raises(ValueError, match=r"'y_unobserved' stands for data .*obs_mask out"):
        calibrate(host, model, host.array(np.zeros(6)))


def test_an_improper_prior_is_refused(host):
    real = host.dist.constraints.real

    def model(y):
        mu = host.ppl.sample("mu", host.dist.ImproperUniform(real, (), ()))
        host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    with pytest.raises(ValueError, match=r"calibrate: .*proper"):
        calibrate(host, model, host.array(np.array(0.0)))
