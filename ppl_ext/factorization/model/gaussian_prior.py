"""The Gaussian that the latent vectors of a side are drawn from."""

from dataclasses import dataclass

import numpy as np

__all__ = ["GaussianPrior"]


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    r"""The prior ``w ~ N(mean, precision^-1)`` of every row of a side.

    Args:
        mean: ``[dim]``, factors and then, where the model has biases, the bias.
        precision: ``[dim, dim]``.

    Example:
        >>> prior = GaussianPrior(np.zeros(2), np.diag([4.0, 1.0]))
        >>> prior.divergence(rows=1, first=np.zeros(2), second=np.diag([0.25, 1.0]), log_det=0.0)
        -0.6931471805599453
    """

    mean: np.ndarray
    precision: np.ndarray

    def divergence(
        self, rows: float, first: np.ndarray, second: np.ndarray, log_det: float
    ) -> float:
        """Sum over rows of ``KL(q(w) || prior)``, in nats.

        Args:
            rows: Number of rows.
            first: ``[dim]``, sum of ``E[w]``.
            second: ``[dim, dim]``, sum of ``E[w w']``.
            log_det: Sum of the log determinants of the precisions of q.

        Returns:
            The sum.
        """
        spread = second - np.outer(first, self.mean) - np.outer(self.mean, first)
        spread += rows * np.outer(self.mean, self.mean)
        own = float(np.linalg.slogdet(self.precision)[1])
        fit = float(np.sum(self.precision * spread))
        return 0.5 * (log_det - rows * own + fit - rows * len(self.mean))
