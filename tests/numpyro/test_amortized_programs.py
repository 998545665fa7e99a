"""Refinement of rows compiles once for a model, a number of rows and settings."""

import logging

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_ext.numpyro import AutoAmortized

DRAWS = {"max_steps": 500, "num_draws": 20}
CENTRE = {"value": 0.0}


def make_model(scale):
    def model(x):
        shift = numpyro.sample("shift", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", len(x)):
            z = numpyro.sample("z", dist.Normal(shift + CENTRE["value"], 1.0))
            numpyro.sample("x", dist.Normal(z, scale), obs=x)

    return model


def encode(weights, rows):
    return rows @ weights["weight"] + weights["bias"]


def refine(key, x, scale=0.5, **options):
    guide = AutoAmortized(
        make_model(scale), encoder=(encode, {"weight": np.zeros((1, 2)), "bias": np.zeros(2)})
    )
    params = guide.setup(jax.random.key(0), x)
    return guide.refine(jax.random.key(key), params, x, **DRAWS | options)


@pytest.fixture
def compiled(caplog):
    """Names of the programs that were compiled, in the order of their compilation."""

    def names():
        lines = [record.getMessage() for record in caplog.records]
        return [line.split()[1] for line in lines if line.startswith("Compiling")]

    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        yield names


def test_the_next_rows_go_through_the_same_programs(compiled):
    x = np.array([-1.0, 0.5, 2.0])
    refine(1, x)
    first = compiled()
    assert sum("fit" in name for name in first) == 1, first
    # Another guide on a model made anew, other rows, another key.
    found = refine(2, x + 1)
    assert compiled() == first
    np.testing.assert_allclose(found.median()["z"], (x + 1) * 0.8, atol=0.1)


@pytest.mark.parametrize("change", ["rows", "settings", "closure", "module"])
def test_other_programs_are_compiled_anew(compiled, monkeypatch, change):
    x = np.array([-1.0, 0.5, 2.0, 1.0])
    refine(1, x)
    before = len(compiled())
    if change == "rows":
        found, expected = refine(1, x[:2]), x[:2] * 0.8
    elif change == "settings":
        found, expected = refine(1, x, max_steps=501), x * 0.8
    elif change == "closure":
        found, expected = refine(1, x, scale=1.0), x * 0.5
    else:
        monkeypatch.setitem(CENTRE, "value", 3.0)
        found, expected = refine(1, x), x * 0.8 + 0.6
    assert sum("fit" in name for name in compiled()[before:]) == 1
    np.testing.assert_allclose(found.median()["z"], expected, atol=0.15)
