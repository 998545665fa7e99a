"""Coordinate ascent far from zero, in other units, and with arguments that it cannot use."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from ppl_ext.cavi import (
    Dirichlet,
    Gamma,
    MultivariateNormal,
    Normal,
    NormalGamma,
    NormalTerm,
    NormalWishart,
    PriorTerm,
    ProductTerm,
    ascend,
    fit_mixture,
    regress_linear,
)

RNG = np.random.default_rng(0)
Y = RNG.normal(size=30)
X = np.stack([np.ones(30), RNG.normal(size=30)], axis=1)
Z = np.concatenate([RNG.normal(-4, 1, size=(40, 2)), RNG.normal(4, 1, size=(40, 2))])
ONE = np.array(1.0)
UNITS = [(1.0, 1e6), (1.0, 1e8), (1e6, 0.0), (1e-6, 0.0)]


@pytest.mark.parametrize(("scale", "shift"), UNITS)
def test_normal_sample_in_other_units(scale, shift):
    def fit(scale, shift):
        prior = Normal(np.array(shift), np.array(1e-6 / scale**2))
        tau_prior = Gamma(ONE, ONE * scale**2)
        # Squares of data far from zero would round away their spread: they are moved first.
        moved = Normal(prior.mean - shift, prior.precision)
        terms = [
            PriorTerm("mean", moved),
            PriorTerm("precision", tau_prior),
            NormalTerm((Y * scale + shift) - shift, "mean", "precision"),
        ]
        found = ascend(terms, {"mean": moved, "precision": tau_prior})
        mean, precision = found.factors["mean"], found.factors["precision"]
        return mean.mean / scale, precision.expect()[1] * scale**2

    assert_allclose(fit(scale, shift), fit(1.0, 0.0), rtol=1e-6)


@pytest.mark.parametrize(("scale", "shift"), UNITS)
def test_regression_in_other_units(scale, shift):
    def fit(scale, shift):
        data = (X @ [1.0, 2.0] + 0.1 * Y) * scale + shift
        found = regress_linear(X, data, prior_precision=1e-20, rate=scale**2)
        posterior = found.factors["coefficients"]
        return *((posterior.mean - [shift, 0]) / scale), posterior.rate / scale**2

    # A flat prior is none at 1e8 standard deviations: (1e8)^2 1e-20 / 2 of the rate.
    assert_allclose(fit(scale, shift), fit(1.0, 0.0), rtol=1e-4)


@pytest.mark.parametrize(("scale", "shift"), UNITS)
def test_mixture_in_other_units(scale, shift):
    def fit(scale, shift):
        found = fit_mixture(Z * scale + shift, 2)
        means = np.sort((found.factors["components"].mean - shift) / scale, axis=0)
        return *means.ravel(), found.elbo[-1] + Z.size * np.log(scale)

    assert_allclose(fit(scale, shift), fit(1.0, 0.0), rtol=1e-6)


def test_an_entry_of_twice_the_precision_counts_like_two_entries():
    eye = np.broadcast_to(np.eye(2), (3, 2, 2))
    start = {
        "u": MultivariateNormal(np.ones((3, 2)), eye),
        "v": MultivariateNormal(RNG.normal(size=(3, 2)), eye),
    }
    priors = [PriorTerm(name, MultivariateNormal(np.zeros(2), np.eye(2))) for name in start]
    rows, columns, values = np.array([0, 1, 2, 0]), np.array([0, 1, 2, 1]), np.arange(1.0, 5.0)
    twice = np.array([0, 1, 1, 2, 3])
    entries = ascend(
        [*priors, ProductTerm("u", "v", rows, columns, values, np.array([1.0, 2.0, 1.0, 1.0]))],
        start,
    )
    repeated = ascend(
        [*priors, ProductTerm("u", "v", rows[twice], columns[twice], values[twice], ONE)], start
    )
    for name in start:
        assert_allclose(entries.factors[name].mean, repeated.factors[name].mean, atol=1e-8)


def test_parameters_are_broadcast_against_each_other():
    assert Normal(np.zeros(3), ONE).precision.shape == (3,)
    assert Gamma(2.0, np.ones(2)).expect()[1].tolist() == [2.0, 2.0]


TERM = NormalTerm(np.ones((5, 3)), "mu", ONE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gamma(np.array(-1.0), ONE), "Gamma: shape is or holds -1; expected positive"),
        (lambda: Normal(ONE, np.array([1.0, 0.0])), "Normal: precision is or holds 0"),
        (lambda: Dirichlet(np.array([1.0, np.nan])), "Dirichlet: concentration is or holds nan"),
        (lambda: NormalGamma(Y[:1], np.eye(1), ONE, -ONE), "NormalGamma: rate is or holds -1"),
        (
            lambda: NormalWishart(Y[:2], ONE, ONE, np.eye(2)),
            "NormalWishart: dof is 1 in 2 dimensions",
        ),
        (lambda: fit_mixture(Z, 1.5), "num_classes=1.5; expected an integer"),
        (lambda: fit_mixture(Z, 2, num_starts=0), "num_starts=0"),
        (lambda: fit_mixture(Z, 2, concentration=0.0), "concentration is or holds 0"),
        (lambda: fit_mixture(Z @ [[1.0, 2.0, 1.0], [0.0, 0.0, 1.0]], 2), "follow from fewer"),
        (lambda: regress_linear(X, Y, prior_precision=-1.0), "prior_precision is or holds -1"),
        (
            lambda: ProductTerm("u", "v", np.array([0, -1]), np.arange(2), Y[:2], ONE),
            "row_of .* integers from 0",
        ),
        (
            lambda: ProductTerm("u", "v", np.arange(2), np.array([0, 0.5]), Y[:2], ONE),
            "column_of .* integers from 0",
        ),
        (
            lambda: ascend(
                [PriorTerm("mu", Normal(np.zeros(3), ONE)), TERM], {"mu": Normal(0.0 * ONE, ONE)}
            ),
            r"the prior of 'mu' has the batch \(3,\), and its start \(\)",
        ),
        (
            lambda: ascend(
                [PriorTerm("mu", Normal(ONE, ONE)), NormalTerm(np.array(np.nan), "mu", ONE)],
                {"mu": Normal(ONE, ONE)},
            ),
            "the bound is nan at the start",
        ),
    ],
)
def test_what_has_no_posterior_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
