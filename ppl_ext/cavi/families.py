"""Exponential families of numbers: what a factor of the posterior can be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import gammaln, psi

from ppl_ext.cavi.arguments import check_positive

__all__ = ["AbstractFamily", "Gamma", "MultivariateNormal", "Normal"]

Arrays = tuple[np.ndarray, ...]
LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class AbstractFamily(ABC):
    r"""A batch of independent distributions of one exponential family.

    .. math:: q(x) = \exp(\eta \cdot t(x) - A(\eta))

    Parameters are arrays with leading batch axes. Not for families whose base measure is not
    constant; none of those here has one.

    Example:
        >>> issubclass(Gamma, AbstractFamily)
        True
    """

    @property
    @abstractmethod
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch."""

    @abstractmethod
    def natural(self) -> Arrays:
        """Natural parameters."""

    @classmethod
    @abstractmethod
    def from_natural(cls, *natural: np.ndarray) -> Self:
        """Make the distributions of given natural parameters.

        Args:
            *natural: What ``natural`` returns.

        Returns:
            The distributions.
        """

    @abstractmethod
    def expect(self) -> Arrays:
        """Expected sufficient statistics, in the order of the natural parameters."""

    @abstractmethod
    def log_normalizer(self) -> np.ndarray:
        """``A``, of the shape of the batch."""

    def entropy(self) -> float:
        """Entropy of the whole batch, in nats."""
        return float(np.sum(self.log_normalizer())) - pair(self.natural(), self.expect())


def set_arrays(family: AbstractFamily, **arrays: np.ndarray) -> None:
    """Set the parameters of a frozen family."""
    for name, array in arrays.items():
        object.__setattr__(family, name, array)


def pair(natural: Arrays, statistics: Arrays) -> float:
    """Inner product of natural parameters and statistics, summed over the batch."""
    return float(sum(np.sum(n * s) for n, s in zip(natural, statistics, strict=True)))


@dataclass(frozen=True, eq=False)
class Normal(AbstractFamily):
    """Independent normal numbers; the statistics are x and its square.

    Args:
        mean: Any shape.
        precision: Positive, broadcast against it.

    Raises:
        ValueError: A precision is not positive.

    Example:
        >>> [float(s) for s in Normal(np.array(1.0), np.array(4.0)).expect()]
        [1.0, 1.25]
    """

    mean: np.ndarray
    precision: np.ndarray

    def __post_init__(self) -> None:
        check_positive("Normal", precision=self.precision)
        mean, precision = np.broadcast_arrays(self.mean, self.precision)
        set_arrays(self, mean=mean, precision=precision)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return self.mean.shape

    def natural(self) -> Arrays:
        """Precision times mean, and minus half the precision."""
        return np.asarray(self.precision * self.mean), np.asarray(-0.5 * self.precision)

    @classmethod
    def from_natural(cls, *natural: np.ndarray) -> Self:
        """Make the distributions of given natural parameters."""
        precision = -2 * natural[1]
        return cls(natural[0] / precision, precision)

    def expect(self) -> Arrays:
        """Mean, and mean square."""
        return np.asarray(self.mean), np.asarray(self.mean**2 + 1 / self.precision)

    def log_normalizer(self) -> np.ndarray:
        """``A``, of the shape of the batch."""
        each = self.precision * self.mean**2 - np.log(self.precision) + LOG_2PI
        return np.asarray(0.5 * each)


@dataclass(frozen=True, eq=False)
class MultivariateNormal(AbstractFamily):
    """Normal vectors; the statistics are x and the matrix x x'.

    Args:
        mean: ``[..., dim]``.
        precision: ``[..., dim, dim]``.

    Example:
        >>> normal = MultivariateNormal(np.zeros(2), np.diag([1.0, 4.0]))
        >>> np.diag(normal.expect()[1]).tolist()
        [1.0, 0.25]
    """

    mean: np.ndarray
    precision: np.ndarray

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return np.broadcast_shapes(self.mean.shape[:-1], self.precision.shape[:-2])

    @property
    def covariance(self) -> np.ndarray:
        """``[..., dim, dim]``."""
        return np.asarray(np.linalg.inv(self.precision))

    def natural(self) -> Arrays:
        """Precision times mean, and minus half the precision."""
        return (self.precision @ self.mean[..., None])[..., 0], -0.5 * self.precision

    @classmethod
    def from_natural(cls, *natural: np.ndarray) -> Self:
        """Make the distributions of given natural parameters."""
        precision = -2 * natural[1]
        return cls(np.linalg.solve(precision, natural[0][..., None])[..., 0], precision)

    def expect(self) -> Arrays:
        """Mean, and second moments."""
        return self.mean, self.covariance + self.mean[..., :, None] * self.mean[..., None, :]

    def log_normalizer(self) -> np.ndarray:
        """``A``, of the shape of the batch."""
        dim = self.mean.shape[-1]
        fit = np.einsum("...i,...i->...", self.mean, self.natural()[0])
        return np.asarray(0.5 * (fit - np.linalg.slogdet(self.precision)[1] + dim * LOG_2PI))


@dataclass(frozen=True, eq=False)
class Gamma(AbstractFamily):
    """Independent Gamma numbers; the statistics are log x and x.

    Args:
        shape: Any shape, positive.
        rate: Positive, broadcast against it.

    Raises:
        ValueError: A shape or a rate is not positive.

    Example:
        >>> float(Gamma(np.array(3.0), np.array(2.0)).expect()[1])
        1.5
    """

    shape: np.ndarray
    rate: np.ndarray

    def __post_init__(self) -> None:
        check_positive("Gamma", shape=self.shape, rate=self.rate)
        shape, rate = np.broadcast_arrays(self.shape, self.rate)
        set_arrays(self, shape=shape, rate=rate)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return self.shape.shape

    def natural(self) -> Arrays:
        """Shape less one, and minus the rate."""
        return np.asarray(self.shape - 1.0), np.asarray(-self.rate)

    @classmethod
    def from_natural(cls, *natural: np.ndarray) -> Self:
        """Make the distributions of given natural parameters."""
        return cls(natural[0] + 1, -natural[1])

    def expect(self) -> Arrays:
        """Expected logarithm, and mean."""
        return np.asarray(psi(self.shape) - np.log(self.rate)), np.asarray(self.shape / self.rate)

    def log_normalizer(self) -> np.ndarray:
        """``A``, of the shape of the batch."""
        return np.asarray(gammaln(self.shape) - self.shape * np.log(self.rate))
