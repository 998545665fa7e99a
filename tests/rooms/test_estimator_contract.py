"""What every estimator owes: one row in ``tests/rooms/estimator_rows.py``, and every question.

A mean may be off by 4.5 standard errors, which a right one is in 7 of a million comparisons; some
two thousand are made. A variance may be off by 6 %, which is more than five of its standard
errors.
"""

from contextlib import nullcontext
from functools import cache
from importlib import import_module
from inspect import isabstract

import numpy as np
import pytest

from tests.oracles.discrete_bounds import PARAMS, enumerate_pairs, enumerate_single, slopes
from tests.oracles.estimators import BINARY, assert_means
from tests.rooms.discrete_programs import (
    LIMIT,
    check,
    estimate,
    make_programs,
    times,
    worst_z,
)
from tests.rooms.estimator_rows import ROWS, integrand, kinds, rows

TWO = {name: value[..., :2] if value.ndim else value for name, value in PARAMS.items()}

NORMAL = {"NormalPath", "NormalScoreFunction"}  # not of discrete draws: test_normal_estimators.py


@pytest.fixture(scope="module")
def program(host, differentiate):
    """Return the estimator of a row as ``(logits, scale) -> value, gradients``, of many."""

    @cache
    def make(number):
        row = ROWS[number]
        estimator, f = row.make(host), integrand(host, row)

        def surrogate(*arguments):
            *key, logits, scale = arguments
            return estimator.surrogate(*key, lambda z: f(z, logits, scale), logits)

        return differentiate(surrogate)

    return lambda row: make(ROWS.index(row))


def test_every_estimator_has_a_row(host, estimators):
    """A new public estimator enters here, by its row."""
    public = {name: getattr(estimators, name) for name in estimators.__all__}
    concrete = {
        name
        for name, each in public.items()
        if hasattr(each, "surrogate") and not isabstract(each)
    }
    assert concrete == {row.name for row in ROWS} | NORMAL


@rows
def test_mean_and_variance(program, row):
    """Value, and gradients in the logits, which ``f`` contains as well, and in its scale."""
    estimates = program(row)(row.toy.logits, row.toy.scale)
    known = [
        (many, truth) for many, truth in zip(estimates, row.truth(), strict=True)
        if truth is not None
    ]  # fmt: skip
    assert_means(*zip(*known, strict=True))
    if row.variance:
        variance = estimates[1].var(0).sum((-2, -1))
        np.testing.assert_allclose(variance, row.variance(), rtol=0.06, atol=1e-8)
    if row.name == "ARM":
        assert (estimates[1].var(0).sum((-2, -1)) > BINARY.mirror_variance()).all()


@rows
def test_extreme_logits(program, row):
    """Peaked far beyond what exp can hold, off centre, and with all classes but one ruled out."""
    logits = 100.0 * row.toy.logits
    logits[0] = 0.01 * logits[0] + 1e4
    logits[2, :, 1:] = -np.inf
    logits[2, :, 0] = 0.0
    for many in program(row)(logits, row.toy.scale):
        assert np.isfinite(many).all()
        certain = many[:, 2] if many.ndim > 2 else many[:, :0]
        np.testing.assert_allclose(certain, 0.0, atol=1e-4)  # no gradient in what is certain


def count_evaluations(f, variables):
    """Count how often a function is evaluated, for a problem without a batch."""
    seen = []

    def counted(z):
        axes = 1 if variables == 1 else 2
        assert z.shape[-axes:-1] == (variables,) * (axes - 1)
        seen.append(int(np.prod(z.shape[:-axes])))
        return f(z)

    return counted, seen


@rows
def test_shapes_evaluations_and_half_precision(host, estimators, run, row):
    """One variable without an axis, batches, empty ones; half precision is lifted to float32."""
    variables, classes = row.toy.logits.shape[1:]
    estimator, squares = row.make(host), np.arange(classes) ** 2.0
    seen = {}

    def alone(z):
        return z @ host.math.asarray(host.array(squares), dtype=z.dtype)

    def together(z):
        return alone(z).sum(-1)

    def attempt(*arguments):
        *key, logits = arguments
        single, wide = logits[0, 0], logits[:2, None]
        counted_alone, seen["alone"] = count_evaluations(alone, 1)
        counted, seen["together"] = count_evaluations(together, variables)
        values = {"alone": estimator.surrogate(*key, counted_alone, single)}
        if variables > 1:
            values["together"] = estimator.surrogate(*key, counted, logits[0])
        for name in ("float16", "bfloat16"):
            half = host.math.asarray(logits, dtype=getattr(host.math, name))
            values[name] = estimator.surrogate(*key, together, half)
        estimate = estimators.estimate_gradient
        estimates = {
            "single": estimate(*key, alone, single, estimator, 6),
            "wide": estimate(*key, together, wide, estimator, 6),
            "empty": estimate(*key, together, logits[:0], estimator),
            "half": estimate(*key, together, half, estimator, 6),
        }
        return values, {name: (each.value, each.gradient) for name, each in estimates.items()}

    logits = row.toy.logits.copy()
    values, estimates = run(attempt, host.array(logits))
    assert sum(seen["alone"]) == estimator.evaluations(1, classes)
    if variables > 1:
        assert (
            sum(seen["together"]) == estimator.evaluations(variables, classes) == row.evaluations
        )
    for name, shape in (("alone", ()), ("float16", (3,)), ("bfloat16", (3,))):
        assert tuple(values[name].shape) == shape
        assert values[name].dtype == host.math.float32
        assert np.isfinite(np.asarray(values[name].tolist())).all()
    shapes = {"single": (classes,), "wide": (2, 1, variables, classes),
              "empty": (0, variables, classes), "half": (3, variables, classes)}  # fmt: skip
    for name, shape in shapes.items():
        value, gradient = estimates[name]
        count = 1 if name == "empty" else 6
        assert tuple(gradient.shape) == (count, *shape)
        assert tuple(value.shape) == (count, *(shape[:-1] if name == "single" else shape[:-2]))
        assert np.isfinite(np.asarray(gradient.tolist(), dtype=float)).all()


@kinds
def test_double_precision_is_kept(host, estimators, run, row):
    jax = import_module("jax") if host.name == "numpyro" else None
    with jax.enable_x64(True) if jax else nullcontext():
        logits = host.math.asarray(row.toy.logits, dtype=host.math.float64)
        estimator = row.make(host)

        def attempt(*arguments):
            *key, logits = arguments
            return estimator.surrogate(*key, lambda z: z[..., 0].sum(-1), logits)

        value = run(attempt, logits)
        assert value.dtype == host.math.float64
        assert np.isfinite(np.asarray(value.tolist())).all()


@kinds
@pytest.mark.parametrize(
    ("f", "logits", "word"),
    [
        (lambda z: z.sum(-1), np.zeros((5, 2, 2)), r"f returned the shape .*expected.*5,?\).*Sum"),
        (lambda z: z.sum(), np.zeros((5, 2, 2)), r"shape \(\)"),
        (lambda z: z, np.zeros(2), r"f\(z\).sum\(-1\)"),
        (lambda z: z[..., 0, 0], np.zeros((2, 2), dtype=int), "floating-point"),
        (lambda z: z[..., 0, 0], np.array(0.5), "classes along the last axis"),
    ],
)
def test_usual_mistakes(host, run, row, f, logits, word):
    def attempt(*arguments):
        *key, logits = arguments
        return row.make(host).surrogate(*key, f, logits)

    with pytest.raises(ValueError, match=word) as refusal:
        run(attempt, host.array(logits))
    assert str(refusal.value).startswith(f"{row.name}: ")


@rows
def test_transformations(host, row):
    """One estimate for each member of a batch, by vmap; in JAX estimators are pytrees as well."""
    estimator, f = row.make(host), integrand(host, row)
    scale = host.array(np.array(1.0))

    def surrogate(*arguments):
        *key, logits = arguments
        return estimator.surrogate(*key, lambda z: f(z, logits, scale), logits)

    if host.name == "pyro":
        func = host.math.func
        gradient = func.vmap(func.grad(surrogate), randomness="different")
        assert np.isfinite(np.asarray(gradient(host.array(row.toy.logits)))).all()
        return
    tree = import_module("jax").tree
    assert tree.unflatten(tree.structure(estimator), tree.leaves(estimator)) == estimator


@kinds
def test_the_bound_of_a_guide(host, row):
    """Choices between two classes in a plate; a path is biased, but its bound is not."""
    programs, names = make_programs(host, TWO), ("w", "prior", "z_logits")
    if not row.passes_through:
        truth = enumerate_pairs if row.bound_of else enumerate_single
        check(host, row.make(host), programs.single, names, truth, 3000, TWO)
        return
    elbo = host.room.DiscreteELBO(row.make(host))
    values, gradients = estimate(host, elbo, programs.single, names, times(host, 3000), TWO)
    assert all(np.isfinite(each).all() for each in gradients.values())
    if row.draws_are_hard:
        assert worst_z(values, enumerate_single(TWO)) < LIMIT
        exact = slopes(enumerate_single, TWO)
        for name in ("w", "prior"):  # which have no path through the draw
            assert worst_z(gradients[name], exact[name]) < LIMIT, name


@kinds
def test_sites_that_are_numbers_of_classes(host, row):
    pair = make_programs(host, TWO).indexed
    elbo = host.room.DiscreteELBO(row.make(host))
    if not row.needs_one_hot:
        values, _ = estimate(host, elbo, pair, ("w", "prior", "z_logits"), 1, TWO)
        assert np.isfinite(values).all()
        return
    message = f"DiscreteELBO: {row.name} .*'z'.*Categorical.*numbers of classes.*LeaveOneOut"
    with pytest.raises(ValueError, match=message):
        estimate(host, elbo, pair, ("w", "prior", "z_logits"), 1, TWO)
