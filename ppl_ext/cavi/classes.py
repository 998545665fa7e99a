"""Exponential families of classes and their probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import gammaln, logsumexp, psi

from ppl_ext.cavi.arguments import check_positive
from ppl_ext.cavi.families import AbstractFamily, Arrays

__all__ = ["Categorical", "Dirichlet"]


@dataclass(frozen=True, eq=False)
class Dirichlet(AbstractFamily):
    """Probabilities of classes; the statistics are their logarithms.

    Args:
        concentration: ``[..., class]``, positive.

    Raises:
        ValueError: A concentration is not positive.

    Example:
        >>> Dirichlet(np.ones(2)).expect()[0].tolist()  # E log p of a uniform p
        [-1.0, -1.0]
    """

    concentration: np.ndarray

    def __post_init__(self) -> None:
        check_positive("Dirichlet", concentration=self.concentration)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return self.concentration.shape[:-1]

    def natural(self) -> Arrays:
        """Concentration less one."""
        return (self.concentration - 1,)

    @classmethod
    def from_natural(cls, *natural: np.ndarray) -> Self:
        """Make the distributions of given natural parameters."""
        return cls(natural[0] + 1)

    def expect(self) -> Arrays:
        """Expected logarithms."""
        total = self.concentration.sum(axis=-1, keepdims=True)
        return (psi(self.concentration) - psi(total),)

    def log_normalizer(self) -> np.ndarray:
        """``A``, of the shape of the batch."""
        total = self.concentration.sum(axis=-1)
        return np.asarray(gammaln(self.concentration).sum(axis=-1) - gammaln(total))


@dataclass(frozen=True, eq=False)
class Categorical(AbstractFamily):
    """Classes; the statistics are their indicators.

    Args:
        logits: ``[..., class]``, up to a constant.

    Example:
        >>> Categorical(np.log([1.0, 3.0])).expect()[0].round(6).tolist()
        [0.25, 0.75]
    """

    logits: np.ndarray

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return self.logits.shape[:-1]

    def natural(self) -> Arrays:
        """The logits."""
        return (self.logits,)

    @classmethod
    def from_natural(cls, *natural: np.ndarray) -> Self:
        """Make the distributions of given natural parameters."""
        return cls(natural[0])

    def expect(self) -> Arrays:
        """Probabilities."""
        return (np.exp(self.logits - self.log_normalizer()[..., None]),)

    def log_normalizer(self) -> np.ndarray:
        """``A``, of the shape of the batch."""
        return np.asarray(logsumexp(self.logits, axis=-1))
