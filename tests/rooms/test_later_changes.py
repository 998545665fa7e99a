"""A fit keeps what it was fitted to, and the next one sees what has changed since."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

Y = np.random.default_rng(5).normal(size=30)
PRIOR = 10.0


class Config:
    """What a model may read beside its arguments."""

    scale = 1.0
    data = Y.copy()


def fit(host, model, *args):
    return host.random(host.room.fit, model, *args, climb=False, progress_bar=False)


def spread(host, fitted) -> float:
    return host.random(fitted.draws, 4000).values["mu"].std()


def centre(host, fitted) -> float:
    return host.random(fitted.draws, 4000).values["mu"].mean()


def normal(host, y, scale=1.0):
    mu = host.ppl.sample("mu", host.dist.Normal(0.0, PRIOR))
    with host.ppl.plate("row", len(y)):
        host.ppl.sample("y", host.dist.Normal(mu, scale), obs=host.array(y))


def exact(y, scale=1.0) -> tuple[float, float]:
    """Mean and standard deviation of the posterior."""
    precision = 1 / PRIOR**2 + len(y) / scale**2
    return y.sum() / scale**2 / precision, precision**-0.5


def test_a_class_attribute(host, monkeypatch):
    def model():
        normal(host, Y, Config.scale)

    for scale in (1.0, 10.0):
        monkeypatch.setattr(Config, "scale", scale)
        assert spread(host, fit(host, model)) == pytest.approx(exact(Y, scale)[1], rel=0.1)


def test_a_number_in_a_closure_or_an_object(host):
    scale, held = 1.0, SimpleNamespace(scale=1.0)

    def closed():
        normal(host, Y, scale)

    def holding():
        normal(host, Y, held.scale)

    assert spread(host, fit(host, closed)) == pytest.approx(exact(Y)[1], rel=0.1)
    assert spread(host, fit(host, holding)) == pytest.approx(exact(Y)[1], rel=0.1)
    scale = held.scale = 10.0
    assert spread(host, fit(host, closed)) == pytest.approx(exact(Y, 10.0)[1], rel=0.1)
    assert spread(host, fit(host, holding)) == pytest.approx(exact(Y, 10.0)[1], rel=0.1)


@pytest.mark.parametrize("kind", ["array", "frame", "dictionary", "list", "class"])
def test_data_that_are_changed_in_place(host, monkeypatch, kind):
    monkeypatch.setattr(Config, "data", Y.copy())
    holder = {
        "array": {"y": Y.copy()},
        "frame": pd.DataFrame({"y": Y}),
        "dictionary": {"y": Y.copy()},
        "list": [Y.copy()],
        "class": {"y": Config.data},
    }[kind]
    array = Config.data if kind in ("array", "class") else None

    def model():
        if kind == "array":
            normal(host, array)
        elif kind == "class":
            normal(host, Config.data)
        elif kind == "list":
            normal(host, holder[0])
        else:
            normal(host, np.asarray(holder["y"]))

    assert centre(host, fit(host, model)) == pytest.approx(exact(Y)[0], abs=0.02)
    if kind == "list":
        holder[0] += 5.0
    elif array is not None:
        array += 5.0
    else:
        holder["y"] += 5.0
    assert centre(host, fit(host, model)) == pytest.approx(exact(Y + 5.0)[0], abs=0.02)


def test_a_buffer_that_is_filled_anew_leaves_the_fit_its_data(host, tmp_path):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, PRIOR))
        with host.ppl.plate("row", len(y)):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    untouched = fit(host, model, host.array(Y))
    buffer = Y.copy()
    given = host.math.as_tensor(buffer).float() if host.name == "pyro" else buffer
    fitted = fit(host, model, given)
    given += 100.0
    draws, expected = (host.random(each.draws, 100) for each in (fitted, untouched))
    np.testing.assert_allclose(draws.observed["y"], Y, rtol=1e-6)
    np.testing.assert_allclose(draws.log_p, expected.log_p, rtol=1e-5)
    np.testing.assert_allclose(
        draws.log_likelihood["y"], expected.log_likelihood["y"], rtol=1e-3, atol=1e-5
    )
    assert fitted.report().verdict == "good"
    fitted.save(tmp_path / "fit.safetensors")
    loaded = host.room.load(tmp_path / "fit.safetensors", model, host.array(Y))
    np.testing.assert_allclose(host.random(loaded.draws, 100).log_p, draws.log_p, rtol=1e-5)


def test_what_a_model_writes_reaches_its_owner(host):
    runs = 0

    def model(y):
        nonlocal runs
        runs += 1
        normal(host, y)

    host.room.trace_density(model, Y).log_p(np.zeros((1, 1)))
    assert runs > 0


class Study:
    """A model that is a method, and what it reads."""

    noise = 1.0

    def __init__(self, host, y):
        self.host, self.y = host, y

    def model(self):
        normal(self.host, self.y, self.noise)


def test_a_report_sees_what_was_fitted(host, monkeypatch):
    y = np.random.default_rng(0).normal(size=500)
    study, scale = Study(host, y.copy()), 1.0

    def model():
        normal(host, y, scale * Config.scale)

    fits = [fit(host, each) for each in (model, study.model)]
    mean = y.mean()
    y += 5.0
    study.y += 5.0
    scale = 3.0
    monkeypatch.setattr(Config, "scale", 7.0)
    for fitted in fits:
        assert fitted.report().verdict == "good"
        draws = host.random(fitted.draws, 100)
        assert draws.observed["y"].mean() == pytest.approx(mean, abs=1e-6)
        assert draws.log_likelihood["y"].mean() > -2.0


def test_what_calls_itself_or_its_base_is_copied_too(host):
    class Bounded(Study):
        def model(self):
            super().model()
            depth(2)

    def depth(n):
        return depth(n - 1) if n else host.ppl.factor("bonus", host.array(bonus)[0])

    bonus = np.array([1.5])
    low, high = (
        host.room.trace_density(kind(host, np.zeros(3)).model).log_p(np.zeros((1, 1)))
        for kind in (Study, Bounded)
    )
    assert high - low == pytest.approx(1.5, abs=1e-5)
