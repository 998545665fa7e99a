"""What every distribution owes: one row in ``tests.oracles.discrete``, and every question to it.

Statistical tests have fixed seeds and fail falsely once in ten thousand.
"""

import math
import warnings
from contextlib import nullcontext
from importlib import import_module

import numpy as np
import pytest

from tests.oracles.discrete import ROWS
from tests.rooms.drawing import RARE, build, draw, draw_by_itself

DRAWS = 20_000
SUMMARIES = ("mean", "variance", "entropy", "mode", "median", "probs")
IDS = [f"{row.name}-{number}" for number, row in enumerate(ROWS)]
rows = pytest.mark.parametrize("row", ROWS, ids=IDS)


def make(host, row, dtype="float32", shape=()):
    """Make the row's distribution in a precision, its parameters over a batch."""
    kind = getattr(host.math, dtype)
    return getattr(host.room.distributions, row.name)(
        **{
            name: value
            if isinstance(value, int)
            else host.math.asarray(np.broadcast_to(value, (*shape, *np.shape(value))), dtype=kind)
            for name, value in row.arguments.items()
        }
    )


def to_numpy(host, array):
    """Return an array of the host, of half precision too, as NumPy's."""
    if host.name == "pyro":
        array = array.detach()
        return (array.double() if array.is_floating_point() else array).numpy()
    return np.asarray(array, dtype=float if "float" in str(array.dtype) else None)


def summary(distribution, name):
    found = getattr(distribution, name)
    return found() if callable(found) else found


def parameters_of(distribution):
    return {name: getattr(distribution, name) for name in distribution.arg_constraints}


def test_every_distribution_has_a_row(host):
    """A new public distribution enters here, by its row."""
    module = host.room.distributions
    base = host.dist.Distribution
    classes = [getattr(module, name) for name in module.__all__]
    public = {
        each.__name__ for each in classes if isinstance(each, type) and issubclass(each, base)
    }
    assert public == {row.name for row in ROWS}


@rows
def test_log_density(host, row):
    distribution = make(host, row)
    with warnings.catch_warnings(action="ignore"):  # NumPyro: a value of probability zero
        ours = distribution.log_prob(host.array(row.values))
    np.testing.assert_allclose(ours, row.log_density, rtol=2e-6, atol=1e-6)


@rows
def test_double_precision(host, row):
    double = import_module("jax").enable_x64(True) if host.name == "numpyro" else nullcontext()
    with double, warnings.catch_warnings(action="ignore"):
        distribution = make(host, row, "float64")
        ours = distribution.log_prob(host.math.asarray(row.values))
        assert ours.dtype == host.math.float64
        np.testing.assert_allclose(ours, row.log_density, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@rows
def test_half_precision_is_rounded_once(host, row, dtype):
    """Everything is what float32 makes of the same parameters and values, rounded at the end."""
    half = make(host, row, dtype)
    kind = getattr(host.math, dtype)
    wide = type(half)(
        **{
            name: host.math.asarray(getattr(half, name), dtype=host.math.float32)
            if name in half.arg_constraints
            else value
            for name, value in row.arguments.items()
        }
    )

    def same(ours, exact):
        rounded = host.math.asarray(exact, dtype=ours.dtype)
        np.testing.assert_array_equal(to_numpy(host, ours), to_numpy(host, rounded))

    value = host.array(row.values)
    value = value if row.name == "PlackettLuce" else host.math.asarray(value, dtype=kind)
    widened = (
        value if row.name == "PlackettLuce" else host.math.asarray(value, dtype=host.math.float32)
    )
    with warnings.catch_warnings(action="ignore"):
        log_prob = half.log_prob(value)
        assert log_prob.dtype == kind
        wide._validate_args = False  # rounded values are off the support of the wide one
        same(log_prob, wide.log_prob(widened))
    for name in row.known:
        ours = summary(half, name)
        assert ours.dtype == kind or row.name == "PlackettLuce"
        same(ours, summary(wide, name))
    value, log_prob = draw(host, half, (100,))
    assert value.dtype == kind or row.name == "PlackettLuce"
    assert log_prob.dtype == kind
    assert np.isfinite(to_numpy(host, log_prob)).all()
    same(*(draw_by_itself(host, each, (100,)) for each in (half, wide)))


@rows
def test_summaries_are_exact_or_absent(host, row):
    distribution = make(host, row)
    for name in SUMMARIES:
        if name in row.known:
            np.testing.assert_allclose(summary(distribution, name), row.known[name], rtol=1e-6)
        else:
            with pytest.raises((NotImplementedError, AttributeError)):
                summary(distribution, name)


@rows
def test_draws(host, row):
    value, log_prob = draw(host, make(host, row), (DRAWS,))
    value = to_numpy(host, value)
    assert row.supports(value).all()
    assert np.isfinite(to_numpy(host, log_prob)).all()
    fits = row.judge(value)
    assert min(fits) > RARE / len(fits)


@pytest.mark.parametrize(
    ("name", "arguments", "word"), [(row.name, *bad) for row in ROWS for bad in row.bad]
)
def test_refusals(host, name, arguments, word):
    with pytest.raises(ValueError, match=word):
        build(host, name, **arguments)


@rows
def test_host_sockets(host, row):
    distribution = make(host, row)
    event = tuple(distribution.event_shape)
    larger = distribution.expand((3, 2))
    assert tuple(larger.batch_shape) == (3, 2)
    value, log_prob = draw(host, larger, (5,))
    assert tuple(value.shape) == (5, 3, 2, *event)
    assert tuple(log_prob.shape) == (5, 3, 2)
    assert np.isfinite(to_numpy(host, log_prob)).all()
    event_wise = larger.to_event(1)
    value, log_prob = draw(host, event_wise)
    assert tuple(log_prob.shape) == (3,)
    assert (np.asarray(larger.mask(False).log_prob(value)) == 0).all()

    def model():
        with host.ppl.plate("row", 3):
            host.ppl.sample("x", distribution)

    assert tuple(host.trace(model)["x"]["value"].shape) == (3, *event)


@rows
def test_parameters_broadcast_over_the_batch(host, row):
    """A batch is its members one by one, a parameter for each or one for all."""
    single, batch = make(host, row), make(host, row, shape=(2, 1))
    assert tuple(batch.batch_shape) == (2, 1)
    with warnings.catch_warnings(action="ignore"):
        value = host.array(row.values)
        ours, one = (np.asarray(each.log_prob(value)) for each in (batch, single))
        expected = np.broadcast_to(one, (2, len(row.values)))
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)
    for name, known in row.known.items():
        expected = np.broadcast_to(known, (2, 1, *np.shape(known)))
        np.testing.assert_allclose(summary(batch, name), expected, rtol=1e-6, atol=1e-9)
    first = next(iter(row.arguments))
    if len(single.arg_constraints) > 1:
        mixed = {**parameters_of(single), first: getattr(batch, first)}
        mixed = type(single)(**mixed)
        assert tuple(mixed.batch_shape) == (2, 1)
        value, log_prob = draw(host, mixed)
        assert tuple(log_prob.shape) == (2, 1)


@pytest.mark.parametrize("row", [row for row in ROWS if row.is_smooth], ids=lambda row: row.name)
def test_gradients_are_those_of_finite_differences(host, row):
    """Of a draw with fixed noise and of its density, by every parameter, along one direction."""
    double = import_module("jax").enable_x64(True) if host.name == "numpyro" else nullcontext()
    rng, step = np.random.default_rng(0), 1e-5
    names = list(row.arguments)
    at = [np.asarray(row.arguments[name], dtype=float) for name in names]
    towards = [rng.normal(size=np.shape(each)) for each in at]
    steps = [step * each for each in towards]
    kind = getattr(host.room.distributions, row.name)

    def run(*parameters):
        distribution = kind(**dict(zip(names, parameters, strict=True)), validate_args=False)
        value = draw_by_itself(host, distribution, (3,))
        # Of a copy: the density is that of the value alone.
        log_prob = distribution.log_prob(1.0 * value)
        possible = host.math.isfinite(value)
        weights = host.math.asarray(rng_weights.reshape(3, -1)[:, : math.prod(value.shape[1:])])
        drawn = host.math.where(possible, value, 0.0).reshape(weights.shape)
        return (weights * drawn).sum() + log_prob.sum()

    rng_weights = rng.normal(size=12)
    with double:
        slope = directional(host, run, at, towards)
        ahead, behind = (
            float(run(*(host.math.asarray(a + sign * b) for a, b in zip(at, steps, strict=True))))
            for sign in (1, -1)
        )
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-7)


def directional(host, function, at, towards):
    """Return the slope of a function of arrays along a direction."""
    if host.name == "numpyro":
        jax = import_module("jax")
        return float(jax.jvp(function, tuple(map(host.math.asarray, at)), tuple(towards))[1])
    leaves = [host.math.asarray(each).requires_grad_() for each in at]
    slopes = host.math.autograd.grad(function(*leaves), leaves)
    return sum(
        float((s * host.math.asarray(t)).sum()) for s, t in zip(slopes, towards, strict=True)
    )
