"""Calls around minibatches that cannot be meant, and arrays of other kinds, in both rooms."""

import functools

import numpy as np
import pytest

ROWS = 40
X = np.random.default_rng(0).normal(size=ROWS).astype(np.float32)

pytestmark = pytest.mark.usefixtures("fresh_parameters")


def make_model(host):
    ppl, dist = host.ppl, host.dist

    def model(x):
        with ppl.plate("rows", ROWS, subsample_size=len(x)):
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.sample("x", dist.Normal(z, 1.0), obs=x)

    return model


def train(host, batches, *, model=None, guide=None, **options):
    model = model or make_model(host)
    guide = guide or host.room.AutoAmortized(model)
    options = {
        "settings": host.room.MinibatchSettings(step_size=0.01, max_epochs=2),
        "progress_bar": False,
        **options,
    }
    return host.random(host.room.fit_minibatches, model, guide, batches, **options), guide


def test_what_is_no_object_of_its_kind_is_refused(host):
    batches = host.room.Minibatches(X, batch_size=10)
    for options, message in (
        ({"elbo": host.ppl.infer.Trace_ELBO}, "elbo is the class Trace_ELBO; expected an obj"),
        ({"elbo": "Trace_ELBO"}, "elbo is a str; expected an objective"),
        ({"settings": host.room.MinibatchSettings}, "settings is the class MinibatchSettings"),
        ({"guide": host.room.AutoAmortized}, "guide is the class AutoAmortized; expected a guide"),
    ):
        with pytest.raises(TypeError, match=f"fit_minibatches: {message}"):
            train(host, batches, **options)
    with pytest.raises(TypeError, match=r"batch 0 is a dict with \['x'\].*\(batch\['x'\],\) for"):
        train(host, [{"x": X[:10]}])


def test_answers_about_arrays_of_numpy_in_any_byte_order(host):
    big, batches = X.astype(">f4"), host.room.Minibatches(X.astype(">f4"), batch_size=10)
    fitted, guide = train(host, batches)
    state = () if host.name == "pyro" else (fitted.params,)
    expected = np.asarray(guide.median(*state, host.array(X[:5]))["z"])
    for rows in (X[:5], big[:5]):
        np.testing.assert_array_equal(np.asarray(guide.median(*state, rows)["z"]), expected)
    with pytest.raises(ValueError, match="give at most 40 rows at a time"):
        guide.median(*state, np.tile(X, 2))
    refine = functools.partial(host.random, guide.refine, *state, big)
    for step_size in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match=r"step_size = .*; expected a positive number. Write"):
            refine(step_size=step_size)


def test_data_in_another_byte_order_are_those_in_this_one(host):
    def model(y):
        mu = host.ppl.sample("mu", host.dist.Normal(0.0, 1.0))
        with host.ppl.plate("rows", ROWS):
            host.ppl.sample("y", host.dist.Normal(mu, 1.0), obs=y)

    densities = [
        host.room.trace_density(model, host.array(X)),
        host.room.trace_density(model, X.astype(">f4")),
        host.room.trace_density(lambda: model(X.astype(">f4"))),
    ]
    values = [each.log_p(np.zeros((1, 1))) for each in densities]
    np.testing.assert_allclose(values[1:], [values[0]] * 2, rtol=1e-6)


class Shuffling:
    """A loader in another order at each pass, the same in each process."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __iter__(self):
        order = self.rng.permutation(ROWS)
        return iter([(X[order[at : at + 10]],) for at in range(0, ROWS, 10)])


def test_a_loader_in_an_order_of_its_own_is_not_gone_on_with(host, tmp_path):
    def run(batches, path, epochs):
        settings = host.room.MinibatchSettings(step_size=0.01, max_epochs=epochs)
        if host.name == "pyro":
            host.ppl.clear_param_store()
        return train(host, batches, settings=settings, checkpoint=tmp_path / path)[0]

    by_epoch = host.room.Minibatches(X, batch_size=10).epoch
    run(by_epoch, "epochs", 6)
    assert run(by_epoch, "epochs", 8).log.num_epochs == 8
    run(Shuffling(), "shuffling", 6)
    with pytest.raises(ValueError, match=r"begins with other batches .*Minibatches\(x, batch_siz"):
        run(Shuffling(), "shuffling", 8)
    used = Shuffling()
    list(used)
    with pytest.raises(ValueError, match=r"the checksum of the first batches .* shuffles by itse"):
        run(used, "shuffling", 8)
