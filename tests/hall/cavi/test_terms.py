"""Messages of terms are the slopes of their expectations, and what is no model is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from ppl_ext.cavi import (
    CategoryTerm,
    Dirichlet,
    Gamma,
    LinearTerm,
    MixtureTerm,
    NormalTerm,
    NotConjugateError,
    PriorTerm,
    ProductTerm,
    RelevanceTerm,
    ascend,
    fit_mixture,
    regress_linear,
)
from tests.hall.cavi.examples import (
    CLASSES,
    COEFFICIENTS,
    COMPONENTS,
    GAMMA,
    NORMAL,
    ONE,
    VECTORS,
    WEIGHTS,
    X,
    Y,
    check_rise,
)


class Moved:
    """A factor whose expected statistics were moved."""

    def __init__(self, family, moves):
        self.batch_shape = family.batch_shape
        self._statistics = [s + m for s, m in zip(family.expect(), moves, strict=True)]

    def expect(self):
        return tuple(self._statistics)


TERMS = [
    (NormalTerm("x", "m", "t"), {"x": NORMAL, "m": ONE, "t": GAMMA}),
    (NormalTerm(Y[:, None], "m", "t"), {"m": NORMAL, "t": Gamma(np.array(2.0), np.array(3.0))}),
    (NormalTerm(np.array(1.0), "m", "t"), {"m": ONE, "t": GAMMA}),
    (ProductTerm("u", "v", np.arange(4), np.array([0, 1, 1, 3]), Y[:4], "t"),
     {"u": VECTORS, "v": VECTORS, "t": Gamma(np.array(2.0), np.array(3.0))}),
    (LinearTerm(Y, X, "w"), {"w": COEFFICIENTS}),
    (RelevanceTerm("w", "a", 1.3, 0.4), {"w": COEFFICIENTS, "a": GAMMA}),
    (CategoryTerm("z", "p"), {"z": CLASSES, "p": WEIGHTS}),
    (MixtureTerm(X, "z", "c"), {"z": CLASSES, "c": COMPONENTS}),
    (PriorTerm("p", Dirichlet(np.array([3.0, 1.0]))), {"p": WEIGHTS}),
]  # fmt: skip


@pytest.mark.parametrize(("term", "factors"), TERMS)
def test_messages_are_the_slopes_of_expectations(term, factors):
    term.check(factors)
    assert term.nodes.keys() == factors.keys()
    for name, family in factors.items():
        rng = np.random.default_rng(3)
        moves = [rng.normal(size=np.shape(each)) for each in family.expect()]
        rise = term.expect({**factors, name: Moved(family, moves)}) - term.expect(factors)
        told = sum(np.sum(n * m) for n, m in zip(term.send(name, factors), moves, strict=True))
        assert_allclose(told, rise, rtol=1e-9, atol=1e-9)


def test_refusals():
    prior = PriorTerm("mu", NORMAL)
    with pytest.raises(NotConjugateError, match=r"'mu' is Gamma; expected Normal.*AutoFullRank"):
        ascend([prior], {"mu": GAMMA})
    with pytest.raises(NotConjugateError, match=r"'x' stands twice.*AutoFullRank"):
        NormalTerm("x", "x", np.array(1.0))
    with pytest.raises(ValueError, match=r"no factor 'mu'; expected one of \['nu'\]"):
        ascend([prior], {"nu": NORMAL})
    with pytest.raises(ValueError, match=r"no term touches the factor 'nu'.*PriorTerm"):
        ascend([prior], {"mu": NORMAL, "nu": NORMAL})

    class Wrong(NormalTerm):
        def send(self, name, factors):
            pull, square = super().send(name, factors)
            return -pull, square

    with pytest.raises(ArithmeticError, match=r"fell .* when 'mu' .* \['Wrong'\]"):
        ascend([Wrong(Y, "mu", np.array(1.0))], {"mu": ONE})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: regress_linear(X, np.full(12, np.nan)), "regress_linear: data .* 12 numbers"),
        (lambda: regress_linear(X, Y[:5]), "design has 12 rows and data 5"),
        (lambda: fit_mixture(Y, 2), r"shape \(12,\).*expected 2 axes"),
        (lambda: fit_mixture(np.ones((5, 2)), 2), "columns that vary"),
    ],
)
def test_bad_data(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_more_classes_than_rows():
    ascent = fit_mixture(np.array([[0.0], [0.0], [1.0]]), 4)
    check_rise(ascent)
    assert_allclose(ascent.factors["classes"].expect()[0].sum(axis=1), 1)
