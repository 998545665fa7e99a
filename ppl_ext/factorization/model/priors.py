"""Priors of the latent vectors of a side, and how the ratings teach them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ppl_ext.factorization.model.gaussian_prior import GaussianPrior

__all__ = ["ARD", "AbstractPrior", "Fixed", "FullCovariance", "Isotropic"]


class AbstractPrior(ABC):
    """What a prior may learn from the ratings.

    Learning maximises the ELBO less ``pseudo_rows`` times ``KL(N(0, diag(variances)) || prior)``,
    as if so many further rows were known to be spread by ``variances``: it keeps the prior proper
    where there are fewer rows than factors, costs nothing where there are many, and what is
    maximised stays a lower bound of the log evidence.

    Example:
        >>> issubclass(ARD, AbstractPrior)
        True
    """

    pseudo_rows: float = 3.0

    @abstractmethod
    def learn(
        self, rows: int, first: np.ndarray, second: np.ndarray, variances: np.ndarray, bias: bool
    ) -> GaussianPrior:
        """The best prior of this kind for rows of the given moments.

        Args:
            rows: Number of rows.
            first: ``[dim]``, sum of ``E[w]``.
            second: ``[dim, dim]``, sum of ``E[w w']``.
            variances: ``[dim]``, what is expected before any rating is seen.
            bias: True where the last element of w is a bias.

        Returns:
            The prior.
        """

    def start(self, variances: np.ndarray, bias: bool) -> GaussianPrior:
        """The prior before the first sweep.

        Args:
            variances: ``[dim]``, what is expected before any rating is seen.
            bias: True where the last element of w is a bias.

        Returns:
            A prior of mean zero with these variances.
        """
        return GaussianPrior(np.zeros(len(variances)), np.diag(1 / variances))

    def penalty(self, prior: GaussianPrior, variances: np.ndarray) -> float:
        """What is taken from the ELBO for a learned prior, in nats; never negative.

        Args:
            prior: The prior.
            variances: ``[dim]``, what is expected before any rating is seen.

        Returns:
            ``pseudo_rows`` times the divergence above.
        """
        log_det = -float(np.sum(np.log(variances)))
        return self.pseudo_rows * prior.divergence(
            1.0, np.zeros(len(variances)), np.diag(variances), log_det
        )


@dataclass(frozen=True)
class Fixed(AbstractPrior):
    r"""A prior that learns nothing: ``factor ~ N(0, variance)``, ``bias ~ N(0, bias_variance)``.

    Not for unknown ratings: a wrong variance costs more than it saves.

    Args:
        variance: Variance of every factor.
        bias_variance: Variance of the bias, ignored where there is none.

    Raises:
        ValueError: A variance is not positive and finite.

    Example:
        >>> Fixed(0.5).start(np.ones(2), bias=False).precision.tolist()
        [[2.0, 0.0], [0.0, 2.0]]
    """

    variance: float = 1.0
    bias_variance: float = 1.0

    def __post_init__(self) -> None:
        if not all(0 < each < np.inf for each in (self.variance, self.bias_variance)):
            raise ValueError(
                f"{self}: both variances must be positive and finite. Write "
                "Fixed(variance=0.5), or FullCovariance() to learn them."
            )

    def start(self, variances: np.ndarray, bias: bool) -> GaussianPrior:
        """The prior itself."""
        own = np.full(len(variances), self.variance)
        if bias:
            own[-1] = self.bias_variance
        return GaussianPrior(np.zeros(len(own)), np.diag(1 / own))

    def learn(
        self, rows: int, first: np.ndarray, second: np.ndarray, variances: np.ndarray, bias: bool
    ) -> GaussianPrior:
        """The prior itself."""
        return self.start(variances, bias)

    def penalty(self, prior: GaussianPrior, variances: np.ndarray) -> float:
        """Nothing is learned, so nothing is taken."""
        return 0.0


@dataclass(frozen=True)
class Isotropic(AbstractPrior):
    r"""One variance for all factors and one for the bias, both learned; mean zero.

    Not where factors differ in weight, which is nearly always: see `FullCovariance`.

    Args:
        pseudo_rows: Weight of what is expected before any rating is seen, in rows.

    Raises:
        ValueError: The weight is negative or infinite.

    Example:
        >>> prior = Isotropic(1).learn(3, np.zeros(2), np.diag([7.0, 1.0]), np.ones(2), bias=False)
        >>> prior.precision.tolist()  # (3 + 1) rows; mean square (7 + 1 + 1 + 1) / (2 (3 + 1))
        [[0.8, 0.0], [0.0, 0.8]]
    """

    pseudo_rows: float = 3.0

    def __post_init__(self) -> None:
        _check_rows(self)

    def learn(
        self, rows: int, first: np.ndarray, second: np.ndarray, variances: np.ndarray, bias: bool
    ) -> GaussianPrior:
        """Pool the second moments of the factors."""
        own = (np.diag(second) + self.pseudo_rows * variances) / (rows + self.pseudo_rows)
        factors = slice(0, len(own) - 1 if bias else len(own))
        own[factors] = own[factors].mean()
        return GaussianPrior(np.zeros(len(own)), np.diag(1 / own))


@dataclass(frozen=True)
class ARD(AbstractPrior):
    r"""A variance for each factor, learned: those the ratings do not need shrink away; mean zero.

    Not the most accurate choice, see `FullCovariance`; for counting factors.

    Args:
        pseudo_rows: Weight of what is expected before any rating is seen, in rows.

    Raises:
        ValueError: The weight is negative or infinite.

    Example:
        >>> prior = ARD(1).learn(3, np.zeros(2), np.diag([7.0, 1.0]), np.ones(2), bias=False)
        >>> np.diag(prior.precision).tolist()
        [0.5, 2.0]

    References:
        Lim, Teh (2007), Variational Bayesian approach to movie rating prediction, KDD Cup.
    """

    pseudo_rows: float = 3.0

    def __post_init__(self) -> None:
        _check_rows(self)

    def learn(
        self, rows: int, first: np.ndarray, second: np.ndarray, variances: np.ndarray, bias: bool
    ) -> GaussianPrior:
        """Take the second moment of each element."""
        own = (np.diag(second) + self.pseudo_rows * variances) / (rows + self.pseudo_rows)
        return GaussianPrior(np.zeros(len(own)), np.diag(1 / own))


@dataclass(frozen=True)
class FullCovariance(AbstractPrior):
    r"""Mean and full precision of factors and bias together, learned; the most accurate.

    The maximum is that of a normal-Wishart prior with ``pseudo_rows`` as its weight.

    Not for models whose factors should stay apart; a rotation of all of them is as likely.

    Args:
        pseudo_rows: Weight of what is expected before any rating is seen, in rows.

    Raises:
        ValueError: The weight is negative or infinite.

    Example:
        >>> prior = FullCovariance(1).learn(3, np.array([4.0, 0.0]), np.diag([7.0, 1.0]),
        ...                                 np.ones(2), bias=False)
        >>> prior.mean.tolist(), np.diag(prior.precision).tolist()
        ([1.0, 0.0], [1.0, 2.0])

    References:
        Salakhutdinov, Mnih (2008), Bayesian probabilistic matrix factorization using Markov chain
        Monte Carlo, ICML.
    """

    pseudo_rows: float = 3.0

    def __post_init__(self) -> None:
        _check_rows(self)

    def learn(
        self, rows: int, first: np.ndarray, second: np.ndarray, variances: np.ndarray, bias: bool
    ) -> GaussianPrior:
        """Take mean and covariance over rows and pseudo-rows."""
        total = rows + self.pseudo_rows
        mean = first / total
        covariance = (second + self.pseudo_rows * np.diag(variances)) / total
        covariance -= np.outer(mean, mean)
        precision = np.linalg.inv(covariance)
        return GaussianPrior(mean, (precision + precision.T) / 2)


def _check_rows(prior: AbstractPrior) -> None:
    if not 0 <= prior.pseudo_rows < np.inf:
        raise ValueError(
            f"{prior}: the weight of what is expected must be finite and not negative. Write "
            f"{type(prior).__name__}(pseudo_rows=3.0), or leave it out."
        )
