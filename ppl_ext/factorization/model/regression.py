"""What the features of users or items say of their latent vectors, learned in the same bound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import linalg, sparse

from ppl_ext.factorization.data.features import FeatureTable
from ppl_ext.factorization.model.gaussian_prior import GaussianPrior

__all__ = ["Design", "Regression", "start_regression"]

_RELEVANCES = (1e-6, 1e12)


@dataclass(frozen=True, eq=False, repr=False)
class Regression:
    r"""Features in the prior of a side: ``w ~ N(mean + B' x, precision^-1)``.

    Features x are standardised here, and every feature f has coefficients over all factors and
    the bias, whose prior is as wide in each direction as what features leave unexplained:

    .. math:: B_f \sim N(0, (\lambda_f \Lambda)^{-1}), \qquad
              q(B) = MN(M, \mathrm{covariance}, \Lambda^{-1}).

    The precision lambda of each feature is learned, so that features which say nothing leave the
    model; both updates have a closed form.

    Args:
        names: ``[feature]``.
        center: ``[feature]``, taken from every feature.
        scale: ``[feature]``, that features are divided by.
        coefficients: ``[feature, dim]``, means of B: what a standard deviation more of a feature
            adds to the factors and, last, to the bias.
        relevance: ``[feature]``, lambda; large for features that say nothing.
        covariance: ``[feature, feature]``, posterior covariance of B over features, in units of
            the prior's covariance of w.

    Example:
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> x = np.random.default_rng(0).normal(size=(20, 2))
        >>> factors = MatrixFactorization(3).fit(ratings, item_features=x, progress_bar=False)
        >>> factors.items.regression.coefficients.shape
        (2, 4)

    References:
        Simm et al. (2017), Macau: scalable Bayesian factorization with high-dimensional side
        information using MCMC, IEEE MLSP.
        MacKay (1992), Bayesian interpolation, Neural Computation 4(3).
    """

    names: tuple[str, ...]
    center: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    relevance: np.ndarray
    covariance: np.ndarray

    def design(self, table: FeatureTable) -> Design:
        """Standardise a table as the one of the fit was.

        Args:
            table: ``[row, feature]``, columns in the order of ``names``.

        Returns:
            The standardised features.
        """
        if sparse.issparse(table):
            scaled = sparse.csr_array(table @ sparse.diags_array(1 / self.scale))
            return Design(scaled, self.center / self.scale)
        return Design((table - self.center) / self.scale, np.zeros(len(self.names)))

    def offsets(self, design: Design) -> np.ndarray:
        """What features add to the prior's mean.

        Args:
            design: Standardised features.

        Returns:
            ``[row, dim]``.
        """
        return design.times(self.coefficients)

    def spread(self, design: Design) -> np.ndarray:
        """Variance of `offsets`, in units of the prior's covariance of w.

        Args:
            design: Standardised features.

        Returns:
            ``[row]``.
        """
        lower = np.linalg.cholesky(self.covariance)
        return np.asarray(np.sum(design.times(lower) ** 2, axis=1))

    def learn(
        self, design: Design, means: np.ndarray, prior: GaussianPrior, relevance: bool
    ) -> tuple[Regression, float]:
        """Update the relevances and then the coefficients.

        Args:
            design: Standardised features of the rows.
            means: ``[row, dim]``, posterior means of w.
            prior: The prior of w.
            relevance: Whether relevances are learned, or kept.

        Returns:
            The regression, and half the log determinants of its posterior's precision less its
            prior's: what the bound loses for not knowing the coefficients.
        """
        dim = means.shape[1]
        weights = self.relevance
        if relevance:
            size = np.sum(self.coefficients @ prior.precision * self.coefficients, axis=1)
            weights = dim / (size + dim * np.diag(self.covariance))
            weights = np.clip(weights, *_RELEVANCES)
        factor = linalg.cho_factor(design.gram + np.diag(weights), lower=True)
        coefficients = linalg.cho_solve(factor, design.project(means - prior.mean))
        covariance = linalg.cho_solve(factor, np.eye(len(weights)))
        lost = np.sum(np.log(np.diag(factor[0]))) - 0.5 * np.sum(np.log(weights))
        learned = replace(
            self,
            coefficients=coefficients,
            relevance=weights,
            covariance=(covariance + covariance.T) / 2,
        )
        return learned, dim * float(lost)

    def draw(self, rng: np.random.Generator, prior: GaussianPrior) -> np.ndarray:
        """Draw coefficients.

        Args:
            rng: Source of randomness.
            prior: The prior of w.

        Returns:
            ``[feature, dim]``.
        """
        rows = np.linalg.cholesky(self.covariance)
        columns = np.linalg.cholesky(np.linalg.inv(prior.precision))
        noise = rng.standard_normal(self.coefficients.shape)
        return np.asarray(self.coefficients + rows @ noise @ columns.T)


class Design:
    """Standardised features; sparse ones stay sparse, their centre is taken off in products.

    Args:
        matrix: ``[row, feature]``, divided by the scale.
        center: ``[feature]``, what is still to be taken from every row.
    """

    def __init__(self, matrix: FeatureTable, center: np.ndarray):
        self.matrix = matrix
        self.center = center

    @cached_property
    def gram(self) -> np.ndarray:
        """``[feature, feature]``, products of features summed over rows."""
        matrix, center = self.matrix, self.center
        sums = np.asarray(matrix.sum(axis=0)).ravel()
        squares: Any = matrix.T @ matrix
        full = squares.toarray() if sparse.issparse(matrix) else squares
        mixed = np.outer(center, sums)
        return np.asarray(full - mixed - mixed.T) + matrix.shape[0] * np.outer(center, center)

    def times(self, coefficients: np.ndarray) -> np.ndarray:
        """``[row, feature] x [feature, ...]``."""
        return np.asarray(self.matrix @ coefficients - self.center @ coefficients)

    def project(self, values: np.ndarray) -> np.ndarray:
        """``[feature, row] x [row, ...]``."""
        return np.asarray(self.matrix.T @ values - np.outer(self.center, values.sum(axis=0)))


def start_regression(names: tuple[str, ...], table: FeatureTable, dim: int) -> Regression:
    """No coefficients yet, and centre and scale of the features.

    Args:
        names: Names of the features.
        table: ``[row, feature]``.
        dim: Length of the latent vectors.

    Returns:
        The regression; at its relevances, features explain as much as they leave, beforehand.
    """
    rows, count = table.shape
    center = np.asarray(table.sum(axis=0)).ravel() / rows
    # Sparse tables are not centred before they are squared, lest they fill.
    around = np.zeros(count) if sparse.issparse(table) else center
    squares = table**2 if sparse.issparse(table) else (table - around) ** 2
    variance = np.asarray(squares.sum(axis=0)).ravel() / rows - (center - around) ** 2
    # What does not vary, rounding apart, is divided by one: it says nothing in any case.
    rounding = 1e-12 if sparse.issparse(table) else 1e-24
    varies = variance > rounding * center**2 + 1e-300
    return Regression(
        names,
        center,
        np.sqrt(np.where(varies, variance, 1.0)),
        np.zeros((count, dim)),
        np.full(count, float(count)),
        np.eye(count) / count,
    )
