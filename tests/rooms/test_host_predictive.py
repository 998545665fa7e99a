"""The host's Predictive takes the draws of a fit: every value has the shape that its site has."""

import numpy as np

ROWS = COLUMNS = 4  # alike: a value of another shape would broadcast without an error
RNG = np.random.default_rng(0)
Y = RNG.normal(size=(ROWS, 1)) + RNG.normal(size=(1, COLUMNS))


def crossed(host):
    ppl, dist = host.ppl, host.dist

    def model(y=None):
        level = ppl.sample("level", dist.Normal(host.array(np.zeros(1)), 1.0))
        rows = ppl.plate("row", ROWS, dim=-2)
        columns = ppl.plate("column", COLUMNS, dim=-1)
        with rows:
            a = ppl.sample("a", dist.Normal(0.0, 1.0))
            ppl.deterministic("doubled", 2 * a)
        with columns:
            b = ppl.sample("b", dist.Normal(0.0, 1.0))
        with rows, columns:
            cell = ppl.deterministic("cell", level[..., :1] + a + b)
            ppl.sample("y", dist.Normal(cell, 0.5), obs=y)

    return model


def test_values_keep_the_dimensions_that_pad_them(host):
    model = crossed(host)
    fitted = host.random(host.room.fit, model, host.array(Y), progress_bar=False)
    values = host.random(fitted.draws, 50).values
    shapes = {name: array.shape[1:] for name, array in values.items()}
    assert shapes == {
        "level": (1,),
        "a": (ROWS, 1),
        "b": (COLUMNS,),
        "doubled": (ROWS, 1),
        "cell": (ROWS, COLUMNS),
    }
    samples = {name: host.array(values[name]) for name in ("level", "a", "b")}
    predictive = host.ppl.infer.Predictive(
        model, posterior_samples=samples, return_sites=["cell", "y"]
    )
    found = host.random(predictive)
    by_hand = (
        values["level"].reshape(50, 1, 1)
        + values["a"].reshape(50, ROWS, 1)
        + values["b"].reshape(50, 1, COLUMNS)
    )
    np.testing.assert_allclose(np.asarray(found["cell"]), by_hand, rtol=1e-5, atol=1e-5)
    tree = host.random(fitted.draws, 50).to_datatree()
    assert tree["posterior"]["a"].dims[2] == "row"
    assert tree["posterior"]["b"].dims[2] == "column"
    assert tree["posterior"]["cell"].dims[2:] == ("row", "column")
