"""Families of a Gaussian and its precision together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import gammaln, multigammaln, psi

from ppl_ext.cavi.arguments import check_positive
from ppl_ext.cavi.families import LOG_2PI, AbstractFamily, Arrays

__all__ = ["NormalGamma", "NormalWishart"]


@dataclass(frozen=True, eq=False)
class NormalGamma(AbstractFamily):
    r"""A vector and the precision of the noise around what it predicts.

    .. math:: \tau \sim \Gamma(shape, rate), \quad w \mid \tau \sim N(mean, (\tau\, P)^{-1})

    The statistics are log tau, tau, tau w and tau w w'.

    Args:
        mean: ``[dim]``.
        precision: ``[dim, dim]``, P.
        shape: A number.
        rate: A number.

    Raises:
        ValueError: Shape or rate is not positive.

    Example:
        >>> q = NormalGamma(np.ones(1), np.eye(1), np.array(2.0), np.array(1.0))
        >>> q.expect()[3].tolist()  # 1 / P + E[tau] mean^2
        [[3.0]]
    """

    mean: np.ndarray
    precision: np.ndarray
    shape: np.ndarray
    rate: np.ndarray

    def __post_init__(self) -> None:
        check_positive("NormalGamma", shape=self.shape, rate=self.rate)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return ()

    @property
    def covariance(self) -> np.ndarray:
        """``[dim, dim]``, of the marginal of w; infinite where its shape is 1 or less."""
        scale = self.rate / (self.shape - 1) if self.shape > 1 else np.inf
        return np.asarray(scale * np.linalg.inv(self.precision))

    def natural(self) -> Arrays:
        """In the order of the statistics."""
        pull = self.precision @ self.mean
        first = np.asarray(self.shape - 1 + len(pull) / 2)
        second = np.asarray(-self.rate - 0.5 * (self.mean @ pull))
        return first, second, pull, -0.5 * self.precision

    @classmethod
    def from_natural(cls, *natural: np.ndarray) -> Self:
        """Make the distribution of given natural parameters."""
        precision, pull = -2 * natural[3], natural[2]
        mean = np.linalg.solve(precision, pull)
        shape = natural[0] + 1 - len(pull) / 2
        return cls(mean, precision, shape, -natural[1] - 0.5 * (mean @ pull))

    def expect(self) -> Arrays:
        """In the order above."""
        tau = np.asarray(self.shape / self.rate)
        second = np.linalg.inv(self.precision) + tau * np.outer(self.mean, self.mean)
        return np.asarray(psi(self.shape) - np.log(self.rate)), tau, tau * self.mean, second

    def log_normalizer(self) -> np.ndarray:
        """``A``."""
        log_det = np.linalg.slogdet(self.precision)[1]
        own = gammaln(self.shape) - self.shape * np.log(self.rate)
        return np.asarray(own - 0.5 * log_det + 0.5 * len(self.mean) * LOG_2PI)


@dataclass(frozen=True, eq=False)
class NormalWishart(AbstractFamily):
    r"""Means and precision matrices of Gaussians.

    .. math:: \Lambda \sim W(dof, scale), \quad
              \mu \mid \Lambda \sim N(mean, (count\, \Lambda)^{-1})

    The statistics are log det Lambda, Lambda, Lambda mu and mu' Lambda mu.

    Args:
        mean: ``[..., dim]``.
        count: ``[...]``, what the mean is worth in observations.
        dof: ``[...]``, degrees of freedom, above ``dim - 1``.
        scale: ``[..., dim, dim]``; the expected precision over ``dof``.

    Raises:
        ValueError: A count is not positive, or the degrees of freedom are too few.

    Example:
        >>> q = NormalWishart(np.zeros(2), np.array(1.0), np.array(5.0), np.eye(2) / 5)
        >>> q.expect()[1].tolist()
        [[1.0, 0.0], [0.0, 1.0]]

    References:
        Bishop (2006), Pattern Recognition and Machine Learning, section 10.2.
    """

    mean: np.ndarray
    count: np.ndarray
    dof: np.ndarray
    scale: np.ndarray

    def __post_init__(self) -> None:
        check_positive("NormalWishart", count=self.count)
        if not np.all(np.asarray(self.dof) > self.mean.shape[-1] - 1):
            raise ValueError(
                f"NormalWishart: dof is {np.min(self.dof):g} in {self.mean.shape[-1]} dimensions; "
                f"expected more than {self.mean.shape[-1] - 1}. Write "
                f"dof=np.array({self.mean.shape[-1]}.0)."
            )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return self.mean.shape[:-1]

    def natural(self) -> Arrays:
        """In the order of the statistics."""
        count = np.asarray(self.count)
        inner = np.linalg.inv(self.scale) + count[..., None, None] * _outer(self.mean)
        first = 0.5 * (np.asarray(self.dof) - self.mean.shape[-1])
        return first, -0.5 * inner, count[..., None] * self.mean, -0.5 * count

    @classmethod
    def from_natural(cls, *natural: np.ndarray) -> Self:
        """Make the distributions of given natural parameters."""
        count = -2 * natural[3]
        mean = natural[2] / count[..., None]
        inverse = -2 * natural[1] - count[..., None, None] * _outer(mean)
        scale = np.linalg.inv((inverse + np.swapaxes(inverse, -1, -2)) / 2)
        return cls(mean, count, 2 * natural[0] + mean.shape[-1], scale)

    def expect(self) -> Arrays:
        """In the order above."""
        dim = self.mean.shape[-1]
        dof = np.asarray(self.dof)
        orders = np.arange(dim)
        log_det = psi((dof[..., None] - orders) / 2).sum(axis=-1) + dim * np.log(2)
        log_det = log_det + np.linalg.slogdet(self.scale)[1]
        precision = dof[..., None, None] * self.scale
        pulled = (precision @ self.mean[..., None])[..., 0]
        square = dim / np.asarray(self.count) + np.sum(self.mean * pulled, axis=-1)
        return log_det, precision, pulled, square

    def log_normalizer(self) -> np.ndarray:
        """``A``, of the shape of the batch."""
        dim, dof = self.mean.shape[-1], np.asarray(self.dof)
        own = 0.5 * dof * (dim * np.log(2) + np.linalg.slogdet(self.scale)[1])
        return np.asarray(
            own + multigammaln(dof / 2, dim) + 0.5 * dim * (LOG_2PI - np.log(self.count))
        )


def _outer(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector[..., :, None] * vector[..., None, :])
