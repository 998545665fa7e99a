"""Terms of a log joint density, and what they tell the factors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ppl_ext.cavi.families import AbstractFamily, Arrays

__all__ = ["AbstractTerm", "NotConjugateError", "PriorTerm"]

Factors = Mapping[str, AbstractFamily]


class NotConjugateError(ValueError):
    """A term and a factor have no closed-form update together.

    Example:
        >>> issubclass(NotConjugateError, ValueError)
        True
    """


class AbstractTerm(ABC):
    r"""A term of the log joint density, linear in the statistics of each factor that it touches.

    .. math:: \log p(x) = \sum_{terms} f(t_1, t_2, ...), \qquad
              \log q_j^*(x_j) = E_{q_{-j}} \log p + c
              = t_j \cdot \sum \partial f / \partial t_j + c

    Linearity makes the slope of ``f`` what the factor adds to its natural parameters, and is all
    that conjugacy asks. To write a term: say which nodes it touches, its expectation, and its
    slopes. Not for densities that are not linear in such statistics (a logistic likelihood, say).

    Example:
        >>> issubclass(PriorTerm, AbstractTerm)
        True

    References:
        Winn, Bishop (2005), Variational message passing, JMLR 6.
        Blei, Kucukelbir, McAuliffe (2017), Variational inference: a review for statisticians,
        JASA 112.
    """

    @property
    @abstractmethod
    def nodes(self) -> Mapping[str, type[AbstractFamily]]:
        """Names of the factors that the term touches, and the family that each has to be of."""

    @abstractmethod
    def send(self, name: str, factors: Factors) -> Arrays:
        """Tell a factor its slope, all other factors fixed.

        Args:
            name: The factor.
            factors: All factors.

        Returns:
            What is added to its natural parameters; broadcast against them.
        """

    @abstractmethod
    def expect(self, factors: Factors) -> float:
        """Expectation of the term, in nats.

        Args:
            factors: All factors.

        Returns:
            The expectation.
        """

    def check(self, factors: Factors) -> None:
        """Refuse factors of the wrong family.

        Args:
            factors: All factors.

        Raises:
            NotConjugateError: A factor is of another family than this term is linear in.
            ValueError: A factor is missing.
        """
        for name, family in self.nodes.items():
            if name not in factors:
                raise ValueError(
                    f"{type(self).__name__}: there is no factor {name!r}; expected one of "
                    f"{sorted(factors)}. Give it a start: factors[{name!r}] = "
                    f"{family.__name__}(...)."
                )
            found = factors[name]
            if type(found) is not family:
                raise NotConjugateError(
                    f"{type(self).__name__}: the factor {name!r} is {type(found).__name__}; "
                    f"expected {family.__name__}, in whose statistics this term is linear. "
                    "With another family the update has no closed form: use that one, or follow "
                    "the model with a guide, fit(model, ..., guide=AutoFullRank) in "
                    "ppl_ext.pyro or ppl_ext.numpyro."
                )


@dataclass(frozen=True, eq=False)
class PriorTerm(AbstractTerm):
    """A prior without parents.

    Args:
        name: The factor.
        prior: Its prior; its batch is broadcast to the factor's.

    Example:
        >>> from ppl_ext.cavi.families import Gamma
        >>> prior = Gamma(np.array(2.0), np.array(1.0))
        >>> term = PriorTerm("tau", prior)
        >>> round(term.expect({"tau": prior}) + prior.entropy(), 12)
        0.0
    """

    name: str
    prior: AbstractFamily

    @property
    def nodes(self) -> Mapping[str, type[AbstractFamily]]:
        """The factor alone."""
        return {self.name: type(self.prior)}

    def check(self, factors: Factors) -> None:
        """Refuse a factor of another family, or of a smaller batch than the prior's."""
        super().check(factors)
        own, found = self.prior.batch_shape, factors[self.name].batch_shape
        if len(own) > len(found) or np.broadcast_shapes(own, found) != found:
            raise ValueError(
                f"PriorTerm: the prior of {self.name!r} has the batch {own}, and its start "
                f"{found}; expected one value for each. Start with the prior: "
                f"factors[{self.name!r}] = prior."
            )

    def send(self, name: str, factors: Factors) -> Arrays:
        """The natural parameters of the prior."""
        return self.prior.natural()

    def expect(self, factors: Factors) -> float:
        """Expected log density of the prior."""
        factor = factors[self.name]
        own = sum(
            np.sum(np.broadcast_to(n, np.shape(s)) * s)
            for n, s in zip(self.prior.natural(), factor.expect(), strict=True)
        )
        normalizer = np.broadcast_to(self.prior.log_normalizer(), factor.batch_shape)
        return float(own - np.sum(normalizer))


def expect_value(value: str | np.ndarray, factors: Factors) -> Arrays:
    """Mean and mean square of a Normal factor, or of known numbers."""
    if isinstance(value, str):
        return factors[value].expect()
    known = np.asarray(value, dtype=np.float64)
    return known, known**2


def expect_precision(value: str | np.ndarray, factors: Factors) -> Arrays:
    """Expected logarithm and mean of a Gamma factor, or of known numbers."""
    if isinstance(value, str):
        return factors[value].expect()
    known = np.asarray(value, dtype=np.float64)
    return np.log(known), known


def names_factor(argument: str | np.ndarray, name: str) -> bool:
    """Say whether an argument is the factor of this name; known numbers are none."""
    return isinstance(argument, str) and argument == name


def refuse_twice(term: AbstractTerm, names: Sequence[str | np.ndarray]) -> None:
    """Refuse a factor that stands twice in a term, which is not linear in its statistics then."""
    factors = [name for name in names if isinstance(name, str)]
    if twice := {name for name in factors if factors.count(name) > 1}:
        raise NotConjugateError(
            f"{type(term).__name__}: the factor {sorted(twice)[0]!r} stands twice in it; expected "
            "different factors, in each of which the term is linear. Name a second factor, or fit "
            "the model with a guide: fit(model, ..., guide=AutoFullRank) in ppl_ext.pyro or "
            "ppl_ext.numpyro."
        )


def sum_to(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum over the axes along which an array of this shape was broadcast."""
    extra = array.ndim - len(shape)
    array = array.sum(axis=tuple(range(extra)))
    axes = tuple(i for i, size in enumerate(shape) if size == 1 and array.shape[i] != 1)
    return np.asarray(array.sum(axis=axes, keepdims=True))
