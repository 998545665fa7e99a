"""Data as people have them are scored as numbers, or refused with the line that makes them so."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

FRAME = pd.DataFrame(
    {
        "y": [0.5, 1.0, 2.0],
        "name": ["a", "b", "c"],
        "day": pd.date_range("2020-01-01", periods=3),
    },
    index=[7, 8, 9],
)
NUMBERS = FRAME["y"].to_numpy()


def normal(host):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    return model


def reckoning(host):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        host.ppl.sample("zero", host.dist.Normal(0.0, 1.0), obs=mu * 0.0)
        host.ppl.factor("y", host.dist.Normal(0.0, 1.0).log_prob((y - mu) * 1.0).sum())

    return model


def asking(host):
    def model(y):
        normal(host)(y.to_numpy() + len(y.index) - 3.0)

    return model


def column(host):
    def model(frame):
        normal(host)(frame["y"])

    return model


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (normal, FRAME["y"]),
        (normal, NUMBERS),
        (normal, NUMBERS.astype(np.float32)),
        (normal, NUMBERS.tolist()),
        (asking, FRAME["y"]),
        (column, FRAME),
        (column, {"y": FRAME["y"]}),
    ],
)
def test_what_holds_numbers_is_scored(host, make, data):
    log_p = host.room.trace_density(make(host), data).log_p(np.zeros((1, 1)))
    right = stats.norm.logpdf(0.0) + stats.norm.logpdf(NUMBERS).sum()
    np.testing.assert_allclose(log_p, right, rtol=1e-6)


@pytest.mark.parametrize("data", [FRAME["y"], NUMBERS])
def test_an_argument_that_is_reckoned_with(host, data):
    log_p = host.room.trace_density(reckoning(host), data).log_p(np.zeros((1, 1)))
    right = 2 * stats.norm.logpdf(0.0) + stats.norm.logpdf(NUMBERS).sum()
    np.testing.assert_allclose(log_p, right, rtol=1e-6)


def test_a_number_and_a_closure(host):
    def model():
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        host.ppl.sample("one", host.dist.Normal(mu, 1.0), obs=0.5)
        host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=FRAME["y"])

    log_p = host.room.trace_density(model).log_p(np.zeros((1, 1)))
    right = stats.norm.logpdf([0.0, 0.5]).sum() + stats.norm.logpdf(NUMBERS).sum()
    np.testing.assert_allclose(log_p, right, rtol=1e-6)


def test_a_fit_to_a_series(host):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("row", len(y)):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    for guide in (host.room.AutoFullRank, host.room.AutoMeanField(model)):
        fitted = host.random(host.room.fit, model, FRAME["y"], guide=guide, progress_bar=False)
        draws = host.random(fitted.draws, 2000)
        assert draws.values["mu"].mean() == pytest.approx(3.5 / 4, abs=0.05)
        np.testing.assert_allclose(draws.observed["y"], NUMBERS)


@pytest.mark.parametrize(
    ("make", "data", "words"),
    [
        (normal, FRAME["name"], "site 'y'.*dtype .*expected numbers.*factorize"),
        (normal, np.array(["a", "b"]), "site 'y'.*dtype <U1.*expected numbers"),
        (normal, np.array([1.0, None], dtype=object), "site 'y'.*object.*dtype=float"),
        (normal, FRAME["day"], "site 'y'.*datetime64.*timedelta64"),
        (normal, "abc", "site 'y'.*a str"),
        (normal, ["a", "b"], "site 'y'.*a str"),
        (normal, {"y": 1.0}, "site 'y'.*a dict"),
        (normal, np.ma.array([1.0, 2.0], mask=[0, 1]), "site 'y'.*masked array.*filled"),
        (reckoning, FRAME[["y"]], "argument 'y' is a DataFrame.*column"),
        (reckoning, FRAME["name"], "argument 'y' is a Series of dtype"),
    ],
)
def test_what_holds_none_is_refused_with_the_line_that_converts_it(host, make, data, words):
    for call in (host.room.trace_density, lambda *args: host.random(host.room.fit, *args)):
        with pytest.raises(ValueError, match=f"(?s)^(trace_density|fit): .*{words}"):
            call(make(host), data)


def test_counts_are_integers_in_the_tree(host):
    """ArviZ draws rootograms and bars of integers alone; torch draws counts as floats."""

    def model(y):
        rate = host.ppl.sample("rate", host.dist.Gamma(host.array(2.0), host.array(1.0)))
        with host.ppl.plate("row", 4):
            host.ppl.sample("y", host.dist.Poisson(rate), obs=y)

    counts = np.array([3.0, 0.0, 2.0, 5.0])
    fitted = host.random(host.room.fit, model, host.array(counts), climb=False)
    tree = host.random(fitted.draws, 100, posterior_predictive=True).to_datatree()
    for group in ("posterior_predictive", "observed_data"):
        assert tree[group]["y"].dtype.kind in "iu", group
    np.testing.assert_array_equal(tree["observed_data"]["y"], counts)
