"""Attention among the rows of a set, in both rooms."""

import functools

import numpy as np
import pytest
from scipy import stats

from ppl_ext.npe.features import Layout

FLAGGED = Layout(vector_width=3, num_rows=5, row_width=3, flagged=True)


@pytest.fixture(scope="module")
def read(host):
    """A network with weights as they come: ``features -> context``."""
    small = {"context_dim": 4, "hidden": 8, "num_heads": 2, "num_inducing": 3}
    embedding = functools.partial(host.room.npe.SetTransformer, FLAGGED, **small)
    if host.name == "pyro":
        import torch

        torch.manual_seed(0)
        network = embedding()

        def run(features):
            with torch.no_grad():
                return network(torch.as_tensor(features, dtype=torch.float32)).numpy()
    else:
        import jax

        network = embedding()
        params = network.init(jax.random.key(0))

        def run(features):
            return np.asarray(jax.jit(network)(params, np.asarray(features, np.float32)))

    return run


def make_features(rows, alone=0.5):
    """Numbers that stand alone, and rows that are all there."""
    flags = np.ones((*rows.shape[:-1], 1))
    flat = np.concatenate([rows, flags], -1).reshape(*rows.shape[:-2], -1)
    return np.concatenate([np.full((*rows.shape[:-2], 3), alone), flat], -1)


def test_the_order_of_the_rows_does_not_matter_and_their_values_do(read):
    rows = np.random.default_rng(0).normal(size=(20, 5, 2))
    told = read(make_features(rows))
    np.testing.assert_allclose(read(make_features(rows[:, [3, 0, 4, 1, 2]])), told, atol=2e-6)
    assert np.abs(read(make_features(rows + np.array([0.1, 0.0]))) - told).max(1).min() > 1e-4
    assert np.abs(read(make_features(rows, alone=0.6)) - told).max(1).min() > 1e-4


def test_rows_that_are_missing_change_nothing(read):
    rows = np.random.default_rng(0).normal(size=(20, 5, 2))
    features = make_features(rows)
    features[:, 3:].reshape(20, 5, 3)[:, 3:, 2] = 0.0  # a view: two rows are said to be missing
    told = read(features)
    features[:, 3:].reshape(20, 5, 3)[:, 3:, :2] = 100.0
    np.testing.assert_array_equal(read(features), told)
    # As if there were three rows: any number is read.
    np.testing.assert_allclose(read(make_features(rows[:, :3])), told, atol=2e-6)
    assert np.isfinite(read(np.zeros(18))).all()


def test_the_scale_of_normal_data_is_learned(host):
    """A precision has a gamma posterior: beside it, in both tails and at the centre."""

    def model(y):
        tau = host.ppl.sample("tau", host.dist.Gamma(3.0, 3.0))
        with host.ppl.plate("row", 6):
            host.ppl.sample("y", host.dist.Normal(0.0, tau**-0.5), obs=y)

    embedding = functools.partial(
        host.room.npe.SetTransformer, hidden=16, num_blocks=1, num_heads=2, num_inducing=4
    )
    npe = host.room.NPE(
        model,
        host.array(np.zeros(6)),
        estimator=host.room.npe.FullRankGaussian,
        embedding=embedding,
    )
    settings = host.room.npe.Training(max_epochs=6)
    host.random(npe.train, 2000, settings=settings, progress_bar=False)
    y = np.array([[0.3, -0.5, 0.2, 0.4, -0.1, 0.6], [1.5, -2.0, 0.5, 1.0, -1.2, 0.1]])
    drawn = host.random(npe.posterior(y).sample, 4000)["tau"]
    for found, data in zip(drawn, y, strict=True):
        exact = stats.gamma(6.0, scale=1 / (3 + (data**2).sum() / 2))
        assert stats.kstest(found, exact.cdf).statistic < 0.12


@pytest.mark.parametrize(
    ("layout", "heads", "message"),
    [(Layout(4), 2, "stand alone"), (FLAGGED, 3, "num_heads = 3 does not divide hidden = 64")],
)
def test_what_cannot_be_attended_to_is_refused(host, layout, heads, message):
    with pytest.raises(ValueError, match=message):
        host.room.npe.SetTransformer(layout, num_heads=heads)
