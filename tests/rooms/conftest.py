"""The regression with known answers as a model of the host under test, and its fits."""

from types import SimpleNamespace

import pytest

from tests.hosts import Host
from tests.oracles import regression


@pytest.fixture(scope="module")
def linear(host: Host) -> SimpleNamespace:
    """The model of ``tests.oracles.regression`` and its data."""
    ppl, dist = host.ppl, host.dist

    def model(x, y=None):
        with ppl.plate("feature", 3):
            b = ppl.sample("b", dist.Normal(0.0, regression.PRIOR_SD))
        mean = ppl.deterministic("mean", x @ b)
        with ppl.plate("row", x.shape[0]):
            ppl.sample("y", dist.Normal(mean, regression.NOISE_SD), obs=y)

    x, y = host.array(regression.X), host.array(regression.Y)
    return SimpleNamespace(model=model, x=x, y=y)


@pytest.fixture(scope="module")
def full_rank(host: Host, linear: SimpleNamespace):
    """Its full-rank fit."""
    guide = host.room.AutoFullRank(linear.model)
    return host.random(host.room.fit, linear.model, guide, linear.x, y=linear.y)


@pytest.fixture(scope="module")
def mean_field(host: Host, linear: SimpleNamespace):
    """Its mean-field fit."""
    guide = host.room.AutoMeanField(linear.model)
    return host.random(host.room.fit, linear.model, guide, linear.x, y=linear.y)
