"""A guide of parts: independent draws, one draw of rows, and summaries of every part."""

from importlib import import_module

import numpy as np
import pytest

from tests.rooms.guide_rows import to_numpy, train, two_parts

SIZE, BATCH = 100, 10
Y = np.random.default_rng(0).normal(0.0, 2.0, SIZE)

pytestmark = pytest.mark.usefixtures("fresh_parameters")


def make(host, model, first, second, names=("a", "b")):
    """A composite of two parts, each of one site; names with a dot are the host's guides."""
    effects = host.ppl.poutine if host.name == "pyro" else host.ppl.handlers
    theirs = import_module(f"{host.name}.infer.autoguide")
    parts = []
    for number, (kind, hidden) in enumerate(zip((first, second), names[::-1], strict=True)):
        module = theirs if kind.startswith("host.") else host.room
        prefix = {} if host.name == "pyro" else {"prefix": f"part{number}"}
        part = effects.block(model, hide=[hidden])
        parts.append(getattr(module, kind.removeprefix("host."))(part, **prefix))
    return host.room.CompositeGuide(model, parts)


def summarise(host, guide, params, what, *rest):
    known = (params,) if host.name == "numpyro" else ()
    return to_numpy(getattr(guide, what)(*known, *rest))


@pytest.mark.parametrize("second", ["AutoFullRank", "host.AutoNormal", "host.AutoDiagonalNormal"])
def test_independent_parts_do_not_correlate(host, second):
    """With NumPyro's list the correlation of two of its guides is 1.000."""
    guide = make(host, two_parts(host), "host.AutoNormal", second)
    loss = host.ppl.infer.Trace_ELBO()
    _, params = train(host, guide.model, guide, loss, 3, 0.05)
    known = (params,) if host.name == "numpyro" else ()
    count = 20_000 if host.name == "numpyro" else 2000
    draws = to_numpy(host.random(guide.sample_posterior, *known, sample_shape=(count,)))
    assert draws["a"].shape == draws["b"].shape == (count,)
    assert abs(np.corrcoef(draws["a"], draws["b"])[0, 1]) < 4 / np.sqrt(count)


@pytest.mark.parametrize("kind", ["AutoMeanField", "host.AutoNormal"])
def test_parts_learn_from_the_rows_that_the_model_sees(host, kind):
    """With NumPyro's list the first part learns nothing: its rmse is 1.75."""
    ppl, dist = host.ppl, host.dist

    def model(y):
        with ppl.plate("row", SIZE, subsample_size=BATCH) as index:
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            w = ppl.sample("w", dist.Normal(0.0, 1.0))
            ppl.sample("y", dist.Normal(z, 0.5), obs=y[index])
            ppl.sample("v", dist.Normal(w, 0.5), obs=-y[index])

    guide, data = make(host, model, kind, kind, ("z", "w")), host.array(Y)
    loss = ppl.infer.TraceMeanField_ELBO()
    _, params = train(host, model, guide, loss, 1500, 0.03, data)
    rest = () if host.name == "numpyro" else (data,)
    median = summarise(host, guide, params, "median", *rest)
    for name, exact in (("z", Y / 1.25), ("w", -Y / 1.25)):
        assert median[name].shape == (SIZE,)
        assert np.sqrt(np.mean((median[name] - exact) ** 2)) < 0.15


def test_every_part_has_quantiles(host):
    """A flow and a point of the hosts have none: there they are those of draws."""
    ppl, dist = host.ppl, host.dist

    def model():
        ppl.sample("a", dist.Normal(0.0, 1.0))
        ppl.sample("b", dist.Normal(host.array(np.zeros(2)), 1.0).to_event(1))

    other = "host.AutoIAFNormal" if host.name == "numpyro" else "host.AutoDelta"
    guide = make(host, model, "AutoMeanField", other)
    _, params = train(host, model, guide, ppl.infer.Trace_ELBO(), 2, 0.01)
    quantiles = summarise(host, guide, params, "quantiles", [0.1, 0.5, 0.9])
    assert {name: each.shape for name, each in quantiles.items()} == {"a": (3,), "b": (3, 2)}
    assert all((np.diff(each, axis=0) >= 0).all() for each in quantiles.values())
    median = summarise(host, guide, params, "median")
    np.testing.assert_allclose(median["b"], quantiles["b"][1], rtol=1e-6)
