"""What a fit knows of the users, or of the items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, psi

from ppl_ext.factorization.model.cache_lines import zeros_on_lines
from ppl_ext.factorization.model.gaussian_prior import GaussianPrior
from ppl_ext.factorization.model.regression import Regression

__all__ = [
    "START_CONCENTRATION",
    "TILE",
    "Side",
    "cut_tiles",
    "pack",
    "solve_concentration",
    "unpack",
]

# 128 bytes of a single-precision table: two cache lines, read as a piece. Twice as many gain
# nothing, pad a short triangle more, and leave the second-level cache room for half the rows.
TILE = 32
# A Gamma(10, 10) weight is between 0.54 and 1.57 in nine rows of ten.
START_CONCENTRATION = 10.0
_CONCENTRATIONS = (0.1, 1e4)


@dataclass(frozen=True, eq=False, repr=False)
class Side:
    """The approximate posterior of all rows of one side.

    Row by row ``q(w) = N(mean, covariance)`` for the latent vector w (factors and then, where the
    model has biases, the bias) and ``q(a) = Gamma(shape, rate)`` for the weight of its ratings.

    Args:
        ids: ``[row]``, labels.
        table: ``[tile, row, 32]``, the triangles of ``E[a] E[w w']`` (see
            `ppl_ext.factorization.solver.row_kernel`); `covariances` gives what is in it.
        summary: ``[row, dim + 1]``, ``E[a] (E[w], 1)``.
        prior: The prior of w, less what its features say.
        concentration: Shape and rate of the prior of a; 0 where all weights are one.
        shape: ``[row]``.
        rate: ``[row]``.
        regression: What the features of a row say of w; None without features.
        offsets: ``[row, dim]``, what each row's features add to the prior's mean.

    Example:
        >>> from ppl_ext.factorization import MatrixFactorization, simulate_ratings
        >>> ratings = simulate_ratings(num_users=30, num_items=20, seed=0).ratings
        >>> factors = MatrixFactorization(2).fit(ratings, progress_bar=False)
        >>> factors.users.means().shape, factors.users.covariances(np.array([3])).shape
        ((30, 3), (1, 3, 3))
    """

    ids: np.ndarray
    table: np.ndarray
    summary: np.ndarray
    prior: GaussianPrior
    concentration: float
    shape: np.ndarray
    rate: np.ndarray
    regression: Regression | None = None
    offsets: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Length of the latent vectors."""
        return len(self.prior.mean)

    @property
    def weights(self) -> np.ndarray:
        """``[row]``, ``E[a]``: the noise of a row's ratings has its variance over this."""
        return np.asarray(self.summary[:, -1], dtype=np.float64)

    def prior_means(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Means of the prior, features taken into account.

        Args:
            rows: Positions; all if None.

        Returns:
            ``[row, dim]``; without features, one row for all.
        """
        if self.offsets is None:
            return self.prior.mean[None]
        return np.asarray(self.prior.mean + (self.offsets if rows is None else self.offsets[rows]))

    def means(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Posterior means.

        Args:
            rows: Positions; all if None.

        Returns:
            ``[row, dim]``, float64.
        """
        chosen = self.summary if rows is None else self.summary[rows]
        return np.asarray(chosen[:, :-1] / chosen[:, -1:], dtype=np.float64)

    def covariances(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Posterior covariances.

        Args:
            rows: Positions; all if None, which takes the memory of ``len(self)`` matrices.

        Returns:
            ``[row, dim, dim]``, float64.
        """
        chosen = slice(None) if rows is None else rows
        flat = self.table[:, chosen].astype(np.float64).transpose(1, 0, 2)
        second = unpack(flat.reshape(len(flat), len(self.table) * TILE), self.dim)
        means = self.means(rows)
        second /= self.weights[chosen][:, None, None]
        return np.asarray(second - means[:, :, None] * means[:, None, :])

    def draw(self, rng: np.random.Generator, rows: np.ndarray | None = None) -> np.ndarray:
        """Draw a latent vector for each row.

        Args:
            rng: Source of randomness.
            rows: Positions; all if None.

        Returns:
            ``[row, dim]``.
        """
        values, vectors = np.linalg.eigh(self.covariances(rows))
        # Single-precision storage can leave a variance of nearly zero on the wrong side of it.
        spread = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        noise = rng.standard_normal(values.shape)
        return self.means(rows) + np.einsum("rij,rj->ri", spread, noise)

    def expected_log_weights(self) -> np.ndarray:
        """``[row]``, ``E[log a]``."""
        if not self.concentration:
            return np.zeros(len(self))
        return np.asarray(psi(self.shape) - np.log(self.rate))

    def weight_divergence(self) -> float:
        """Sum over rows of ``KL(q(a) || Gamma(concentration, concentration))``, in nats."""
        if not self.concentration:
            return 0.0
        start = self.concentration
        each = (self.shape - start) * psi(self.shape) - gammaln(self.shape) + gammaln(start)
        each += start * (np.log(self.rate) - np.log(start))
        each += self.shape * (start / self.rate - 1)
        return float(np.sum(each))


def solve_concentration(excess: float) -> float:
    r"""The shape ``a0`` of the weights' prior that maximises the ELBO.

    The root of ``log a0 - psi(a0) = mean(E[a] - E[log a]) - 1``, unique since the left side falls
    from infinity to zero; held between 0.1 and 10,000.

    Args:
        excess: Mean over rows of ``E[a] - E[log a]``.

    Returns:
        The shape.
    """
    low, high = np.log(_CONCENTRATIONS)
    for _ in range(60):
        middle = (low + high) / 2
        if middle - psi(np.exp(middle)) > excess - 1:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def cut_tiles(triangles: np.ndarray) -> np.ndarray:
    """A table: triangles cut into tiles, zeros behind the last number.

    Args:
        triangles: ``[row, packed]``.

    Returns:
        ``[tile, row, TILE]``.
    """
    rows, packed = triangles.shape
    table = zeros_on_lines((-(-packed // TILE), rows, TILE), triangles.dtype)
    for number, tile in enumerate(table):
        piece = triangles[:, number * TILE : (number + 1) * TILE]
        tile[:, : piece.shape[1]] = piece
    return table


def pack(matrix: np.ndarray) -> np.ndarray:
    """Lower triangles, row by row: ``[..., dim, dim] -> [..., packed]``."""
    rows, columns = np.tril_indices(matrix.shape[-1])
    return np.asarray(matrix[..., rows, columns])


def unpack(packed: np.ndarray, dim: int) -> np.ndarray:
    """Symmetric matrices from lower triangles; what follows the triangle is left out."""
    rows, columns = np.tril_indices(dim)
    matrix = np.empty((*packed.shape[:-1], dim, dim), dtype=packed.dtype)
    matrix[..., rows, columns] = packed[..., : len(rows)]
    matrix[..., columns, rows] = packed[..., : len(rows)]
    return matrix
