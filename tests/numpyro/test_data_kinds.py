"""Data as people have them are scored as numbers, or refused with the line that makes them so."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import scipy.stats

from ppl_ext.numpyro import AutoFullRank, fit, from_svi, trace_density

FRAME = pd.DataFrame(
    {
        "y": [0.5, 1.0, 2.0],
        "n": [1, 2, 3],
        "name": ["a", "b", "c"],
        "day": pd.date_range("2020-01-01", periods=3),
    },
    index=[7, 8, 9],
)


def model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def asking(y):
    model(y.to_numpy() + len(y.index))


def closed():
    model(FRAME["y"])


def picked(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y[jnp.array([0, 2])])


@pytest.mark.parametrize(
    ("model", "args", "expected"),
    [
        (model, (FRAME["y"],), [0.5, 1.0, 2.0]),
        (model, (FRAME["n"],), [1.0, 2.0, 3.0]),
        (model, ([0.5, 1.0],), [0.5, 1.0]),
        (model, (np.float64(0.5),), [0.5]),
        (asking, (FRAME["y"],), [3.5, 4.0, 5.0]),
        (closed, (), [0.5, 1.0, 2.0]),
        (picked, (FRAME["y"],), [0.5, 2.0]),
    ],
)
def test_what_holds_numbers_is_scored(model, args, expected):
    log_p = trace_density(model, *args).log_p(np.zeros((1, 1)))
    right = scipy.stats.norm.logpdf(0.0) + scipy.stats.norm.logpdf(expected).sum()
    np.testing.assert_allclose(log_p, right, rtol=1e-6)


def test_a_column_of_a_frame_in_a_plate():
    def model(frame):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("row", len(frame)):
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=frame["y"])

    fitted = fit(jax.random.key(0), model, FRAME, climb=False, progress_bar=False)
    draws = fitted.draws(jax.random.key(1), 2000)
    assert draws.values["mu"].mean() == pytest.approx(3.5 / 4, abs=0.05)
    np.testing.assert_allclose(draws.observed["y"], FRAME["y"])


def slope(frame):
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(b * frame["n"], 1.0), obs=frame["y"])


@pytest.mark.parametrize(
    ("model", "args", "words"),
    [
        (model, (FRAME["name"],), "site 'y'.*dtype .*expected numbers.*factorize"),
        (model, (np.array(["a", "b"]),), "site 'y'.*dtype <U1.*expected numbers"),
        (model, (np.array([1.0, None], dtype=object),), "site 'y'.*object.*dtype=float"),
        (model, (FRAME["day"],), "site 'y'.*datetime64.*timedelta64"),
        (model, ("abc",), "site 'y'.*a str"),
        (model, (["a", "b"],), "site 'y'.*a str"),
        (model, ({"y": 1.0},), "site 'y'.*a dict"),
        (model, (np.ma.array([1.0, 2.0], mask=[0, 1]),), "site 'y'.*masked array.*filled"),
        (slope, (FRAME,), r"argument 'frame' is a DataFrame.*jnp.asarray\(frame\['...'\]\)"),
        (slope, ({"n": FRAME["name"], "y": FRAME["y"]},), "argument 'frame' is a Series"),
    ],
)
def test_what_holds_none_is_refused_with_the_line_that_converts_it(model, args, words):
    with pytest.raises(ValueError, match=f"(?s)^trace_density: .*{words}"):
        trace_density(model, *args)


def test_an_integer_is_no_key():
    fitted = fit(jax.random.key(0), model, 1.0, climb=False, progress_bar=False)
    guide = AutoFullRank(model)
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.1), numpyro.infer.Trace_ELBO())
    calls = [
        lambda: fit(0, model, 1.0),
        lambda: fitted.draws(0),
        lambda: fitted.guide.sample_posterior(0, fitted.params),
        lambda: guide.setup(0, 1.0),
        lambda: from_svi(0, svi, fitted.params, 1.0),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"rng_key is 0, a int.*jax.random.key\(0\)"):
            call()
