"""Programs that are compiled after a change are those of the model as it was fitted."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_ext.numpyro import fit, trace_density

Z = np.zeros((1, 1))


def normal(y, scale=1.0):
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    numpyro.sample("y", dist.Normal(mu, scale), obs=y)


class Study:
    """A model that is a method, and what it reads."""

    noise = 1.0

    def __init__(self, y):
        self.y = y

    def model(self):
        normal(self.y, self.noise)


class Config:
    """What a model may read beside its arguments."""

    scale = 1.0


def test_a_report_sees_what_was_fitted(monkeypatch):
    y = np.random.default_rng(0).normal(size=500)
    study, scale = Study(y.copy()), 1.0

    def model():
        normal(y, scale * Config.scale)

    fits = [fit(jax.random.key(0), each, progress_bar=False) for each in (model, study.model)]
    mean = y.mean()
    y += 5.0
    study.y += 5.0
    scale = 3.0
    monkeypatch.setattr(Config, "scale", 7.0)
    for fitted in fits:
        assert fitted.report().verdict == "good"
        draws = fitted.draws(jax.random.key(1), 100)
        assert draws.observed["y"].mean() == pytest.approx(mean, abs=1e-6)
        assert draws.log_likelihood["y"].mean() > -2.0


def test_an_array_of_the_closure_serves_in_both_precisions():
    y = np.random.default_rng(0).normal(size=500)

    def model():
        normal(y)

    single = trace_density(model).log_p(Z)
    with jax.enable_x64(True):
        double = trace_density(model).log_p(Z)
    np.testing.assert_allclose(single, double, rtol=1e-5)


def test_what_calls_itself_or_its_base_is_copied_too():
    class Bounded(Study):
        def model(self):
            super().model()
            depth(2)

    def depth(n):
        return depth(n - 1) if n else numpyro.factor("bonus", bonus[0])

    bonus = np.array([1.5])
    y = np.zeros(3)
    low = trace_density(Study(y).model).log_p(Z)
    assert trace_density(Bounded(y).model).log_p(Z) - low == pytest.approx(1.5, abs=1e-5)
