"""Terms of linear regression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from ppl_ext.cavi.families import LOG_2PI, AbstractFamily, Arrays, Gamma
from ppl_ext.cavi.joint import NormalGamma
from ppl_ext.cavi.terms import AbstractTerm, Factors

__all__ = ["LinearTerm", "RelevanceTerm"]


@dataclass(frozen=True, eq=False)
class LinearTerm(AbstractTerm):
    """Data around a line: ``data ~ N(design w, 1 / tau)``, with w and tau one factor.

    Args:
        data: ``[row]``.
        design: ``[row, dim]``.
        coefficients: A NormalGamma factor.

    Example:
        >>> q = NormalGamma(np.zeros(1), np.eye(1), np.array(1.0), np.array(1.0))
        >>> LinearTerm(np.array([1.0, 2.0]), np.ones((2, 1)), "w").send("w", {"w": q})[2].tolist()
        [3.0]
    """

    data: np.ndarray
    design: np.ndarray
    coefficients: str

    @property
    def nodes(self) -> Mapping[str, type[AbstractFamily]]:
        """The coefficients."""
        return {self.coefficients: NormalGamma}

    def send(self, name: str, factors: Factors) -> Arrays:
        """Tell the coefficients their normal equations."""
        return (
            np.asarray(len(self.data) / 2),
            np.asarray(-0.5 * (self.data @ self.data)),
            self.design.T @ self.data,
            -0.5 * self.design.T @ self.design,
        )

    def expect(self, factors: Factors) -> float:
        """Expected log density of the data."""
        statistics = factors[self.coefficients].expect()
        slopes = self.send(self.coefficients, factors)
        each = sum(np.sum(n * s) for n, s in zip(slopes, statistics, strict=True))
        return float(each - 0.5 * len(self.data) * LOG_2PI)


@dataclass(frozen=True, eq=False)
class RelevanceTerm(AbstractTerm):
    r"""The prior of coefficients with a precision for each (automatic relevance determination).

    .. math:: \tau \sim \Gamma(shape, rate), \quad w_j \sim N(0, 1 / (\tau \alpha_j))

    Args:
        coefficients: A NormalGamma factor.
        relevance: A Gamma factor of batch ``[dim]``, the precisions alpha.
        shape: Shape of tau's prior.
        rate: Rate of tau's prior.

    Example:
        >>> q = NormalGamma(np.ones(2), np.eye(2), np.array(2.0), np.array(1.0))
        >>> factors = {"w": q, "alpha": Gamma(np.ones(2), np.ones(2))}
        >>> RelevanceTerm("w", "alpha", 1.0, 1.0).send("alpha", factors)[1].tolist()
        [-1.5, -1.5]

    References:
        MacKay (1992), Bayesian interpolation, Neural Computation 4(3).
    """

    coefficients: str
    relevance: str
    shape: float
    rate: float

    @property
    def nodes(self) -> Mapping[str, type[AbstractFamily]]:
        """Both."""
        return {self.coefficients: NormalGamma, self.relevance: Gamma}

    def send(self, name: str, factors: Factors) -> Arrays:
        """Tell coefficients their precisions, precisions the squares of coefficients."""
        if name == self.relevance:
            squares = np.diag(factors[self.coefficients].expect()[3])
            return np.full(len(squares), 0.5), -0.5 * squares
        alpha = factors[self.relevance].expect()[1]
        first = np.asarray(self.shape - 1 + len(alpha) / 2)
        return first, np.asarray(-self.rate), np.zeros(len(alpha)), -0.5 * np.diag(alpha)

    def expect(self, factors: Factors) -> float:
        """Expected log density of the coefficients and of tau."""
        log_tau, tau, _, second = factors[self.coefficients].expect()
        log_alpha, alpha = factors[self.relevance].expect()
        own = self.shape * np.log(self.rate) - gammaln(self.shape)
        own += (self.shape - 1) * log_tau - self.rate * tau
        own += 0.5 * np.sum(log_tau + log_alpha - LOG_2PI - alpha * np.diag(second))
        return float(own)
