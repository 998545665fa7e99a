"""Terms of Gaussians: numbers with means and precisions, a known precision matrix, products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ppl_ext.cavi.arguments import check_positions
from ppl_ext.cavi.families import (
    LOG_2PI,
    AbstractFamily,
    Arrays,
    Gamma,
    MultivariateNormal,
    Normal,
)
from ppl_ext.cavi.terms import (
    AbstractTerm,
    Factors,
    expect_precision,
    expect_value,
    names_factor,
    refuse_twice,
    sum_to,
)

__all__ = ["NormalTerm", "ProductTerm"]


@dataclass(frozen=True, eq=False)
class NormalTerm(AbstractTerm):
    r"""Numbers around other numbers: ``value ~ N(mean, 1 / precision)``, broadcast.

    Each argument is the name of a factor (Normal, Normal, Gamma) or known numbers.

    Args:
        value: Data, or a factor.
        mean: Known numbers, or a factor.
        precision: Known numbers, or a factor.

    Raises:
        NotConjugateError: A factor stands twice.

    Example:
        >>> term = NormalTerm(np.array([1.0, 2.0]), "mu", np.array(4.0))
        >>> pull, square = term.send("mu", {"mu": Normal(np.array(0.0), np.array(1.0))})
        >>> float(pull), float(square)
        (12.0, -4.0)
    """

    value: str | np.ndarray
    mean: str | np.ndarray
    precision: str | np.ndarray

    def __post_init__(self) -> None:
        refuse_twice(self, (self.value, self.mean, self.precision))

    @property
    def nodes(self) -> Mapping[str, type[AbstractFamily]]:
        """Those of the three that are factors."""
        found: dict[str, type[AbstractFamily]] = {}
        for each in (self.value, self.mean):
            if isinstance(each, str):
                found[each] = Normal
        if isinstance(self.precision, str):
            found[self.precision] = Gamma
        return found

    def send(self, name: str, factors: Factors) -> Arrays:
        """Tell value or mean the other, or the precision the squared errors."""
        shape = factors[name].batch_shape
        tau = expect_precision(self.precision, factors)[1]
        error = self._error(factors)
        size = np.broadcast_shapes(error.shape, tau.shape)
        if names_factor(self.precision, name):
            slopes = np.full(size, 0.5), np.broadcast_to(-0.5 * error, size)
        else:
            other = self.mean if names_factor(self.value, name) else self.value
            mean = expect_value(other, factors)[0]
            slopes = np.broadcast_to(tau * mean, size), np.broadcast_to(-0.5 * tau, size)
        return sum_to(slopes[0], shape), sum_to(slopes[1], shape)

    def expect(self, factors: Factors) -> float:
        """Expected log density."""
        log_tau, tau = expect_precision(self.precision, factors)
        return float(0.5 * np.sum(log_tau - LOG_2PI - tau * self._error(factors)))

    def _error(self, factors: Factors) -> np.ndarray:
        x, xx = expect_value(self.value, factors)
        m, mm = expect_value(self.mean, factors)
        return np.asarray(xx - 2 * x * m + mm)


@dataclass(frozen=True, eq=False)
class ProductTerm(AbstractTerm):
    r"""Entries of a table as products of row and column vectors: matrix factorization.

    .. math:: r_n \sim N(u_{row(n)} \cdot v_{column(n)},\ 1 / precision)

    It makes a matrix for every entry: for real tables use
    ``ppl_ext.factorization.MatrixFactorization``, the same update without.

    Args:
        rows: Factor of the row vectors, a MultivariateNormal of batch ``[row]``.
        columns: Factor of the column vectors, of batch ``[column]``.
        row_of: ``[entry]``, positions.
        column_of: ``[entry]``, positions.
        values: ``[entry]``.
        precision: Known, one for all or ``[entry]``; or the name of a Gamma factor, likewise.

    Raises:
        NotConjugateError: A factor stands twice.
        ValueError: A position is negative, or no integer.

    Example:
        >>> one = MultivariateNormal(np.ones((1, 2)), np.eye(2)[None])
        >>> zero = np.zeros(1, int)
        >>> term = ProductTerm("u", "v", zero, zero, np.array([3.0]), np.array(1.0))
        >>> term.send("u", {"u": one, "v": one})[0].tolist()
        [[3.0, 3.0]]
    """

    rows: str
    columns: str
    row_of: np.ndarray
    column_of: np.ndarray
    values: np.ndarray
    precision: str | np.ndarray

    def __post_init__(self) -> None:
        refuse_twice(self, (self.rows, self.columns, self.precision))
        check_positions("ProductTerm", "row_of", self.row_of)
        check_positions("ProductTerm", "column_of", self.column_of)

    @property
    def nodes(self) -> Mapping[str, type[AbstractFamily]]:
        """Rows, columns and, where it is learned, the precision."""
        found: dict[str, type[AbstractFamily]] = {
            self.rows: MultivariateNormal,
            self.columns: MultivariateNormal,
        }
        if isinstance(self.precision, str):
            found[self.precision] = Gamma
        return found

    def send(self, name: str, factors: Factors) -> Arrays:
        """Tell each vector its normal equations, or the precision the squared errors."""
        if names_factor(self.precision, name):
            error, shape = self._errors(factors), factors[name].batch_shape
            return sum_to(np.full(len(error), 0.5), shape), sum_to(-0.5 * error, shape)
        other, own_of, other_of = (
            (self.columns, self.row_of, self.column_of)
            if name == self.rows
            else (self.rows, self.column_of, self.row_of)
        )
        tau = np.broadcast_to(expect_precision(self.precision, factors)[1], self.values.shape)
        mean, second = factors[other].expect()
        pull = np.zeros((*factors[name].batch_shape, mean.shape[-1]))
        square = np.zeros((*pull.shape, mean.shape[-1]))
        np.add.at(pull, own_of, (tau * self.values)[:, None] * mean[other_of])
        np.add.at(square, own_of, -0.5 * tau[:, None, None] * second[other_of])
        return pull, square

    def expect(self, factors: Factors) -> float:
        """Expected log density of the entries."""
        log_tau, tau = expect_precision(self.precision, factors)
        return float(0.5 * np.sum(log_tau - LOG_2PI - tau * self._errors(factors)))

    def _errors(self, factors: Factors) -> np.ndarray:
        u, uu = (each[self.row_of] for each in factors[self.rows].expect())
        v, vv = (each[self.column_of] for each in factors[self.columns].expect())
        product = np.einsum("nk,nk->n", u, v)
        return np.asarray(
            self.values**2 - 2 * self.values * product + np.einsum("nkl,nkl->n", uu, vv)
        )
