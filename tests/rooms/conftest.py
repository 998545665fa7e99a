"""What tests of both rooms share: the regression with known answers, and random programs."""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

from tests.hosts import Host
from tests.oracles import regression
from tests.rooms.guide_rows import DIM, LOC, ROWS, Mixed, Placed, Row, Y

DRAWS = 20_000


def pytest_collection_modifyitems(items):
    """A guide is asked in the rooms that have it, and collected in no other."""
    items[:] = [item for item in items if _has_its_rows(item)]


def _has_its_rows(item) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if "host" not in parameters:
        return True  # of a folder of one host, which pytest shows here too
    found = [each for each in parameters.values() if isinstance(each, Row)]
    return all(parameters["host"] in row.hosts for row in found)


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
    guide = host.room.AutoFullRank
    return host.random(host.room.fit, linear.model, linear.x, y=linear.y, guide=guide)


@pytest.fixture(scope="module")
def mean_field(host: Host, linear: SimpleNamespace):
    """Its mean-field fit."""
    guide = host.room.AutoMeanField(linear.model)
    return host.random(host.room.fit, linear.model, linear.x, y=linear.y, guide=guide)


@pytest.fixture(scope="module")
def estimators(host):
    return host.room.estimators


@pytest.fixture(scope="module")
def differentiate(host):
    """Turn a surrogate of its parameters into ``(*parameters) -> value, *gradients``, of many."""
    if host.name == "pyro":
        torch = host.math

        def with_torch(surrogate):
            def run(*parameters):
                many = [
                    host.array(each).expand(DRAWS, *np.shape(each)).clone().requires_grad_()
                    for each in parameters
                ]
                value = host.random(surrogate, *many)
                gradients = torch.autograd.grad(value.sum(), many)
                return [np.asarray(each.detach(), dtype=float) for each in (value, *gradients)]

            return run

        return with_torch
    jax = import_module("jax")

    def with_jax(surrogate):
        def total(parameters, key):
            value = surrogate(key, *parameters)
            return value.sum(), value

        program = jax.jit(jax.vmap(jax.grad(total, has_aux=True), (None, 0)))

        def run(*parameters):
            keys = jax.random.split(jax.random.key(0), DRAWS)
            gradients, value = program([host.array(each) for each in parameters], keys)
            return [np.asarray(each, dtype=float) for each in (value, *gradients)]

        return run

    return with_jax


@pytest.fixture(scope="module")
def run(host):
    """Run a random function of arrays in one program: JAX compiles single operations slowly."""
    if host.name == "pyro":
        return lambda function, *arrays: host.random(function, *arrays)
    jax = import_module("jax")
    return lambda function, *arrays: jax.jit(function)(jax.random.key(0), *arrays)


@pytest.fixture
def fresh_parameters(host):
    """Pyro keeps parameters for the whole process: begin and end with none."""
    clear = host.ppl.clear_param_store if host.name == "pyro" else lambda: None
    clear()
    yield
    clear()


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: row.name)
def mixed(host, request):
    """A guide of ``Mixed`` with a Gaussian whose coordinates are all different."""
    row = request.param
    placed = Placed(host, row.name, Mixed(host.name), Y)
    placed.set_gaussian(LOC, row.scale(DIM))
    return placed
