"""The sample-average ELBO of a Gaussian and its gradient, summed over draws in bounded memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ppl_ext.fitting.settings import Deterministic

__all__ = [
    "CountedDensity",
    "GaussianAverage",
    "GaussianState",
    "average_full_rank",
    "average_mean_field",
]

# A draw far out may overflow in squares of its score; the line search steps back from it.
_overflow_is_no_news = np.errstate(over="ignore", invalid="ignore")

_CHUNK_FLOATS = 1_000_000  # numbers in one batch of points: 8 MB, which the allocator reuses


class CountedDensity:
    """A log density that counts its gradients and keeps NumPy quiet where it overflows.

    Args:
        log_density: ``z[draw, dim] -> (log_p[draw], gradient[draw, dim])``.
        count: Told the number of gradients of every call, such as ``bar.update``.
    """

    def __init__(
        self,
        log_density: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
        count: Callable[[int], object] = lambda gradients: None,
    ) -> None:
        self._log_density = log_density
        self._count = count
        self.gradients = 0

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density and gradient at ``z[draw, dim]``."""
        self.gradients += len(z)
        self._count(len(z))
        with np.errstate(all="ignore"):
            return self._log_density(z)


@dataclass(frozen=True)
class GaussianAverage:
    """Averages over the draws of a Gaussian that a step of its optimisation needs.

    Args:
        elbo: Mean of log p plus the entropy of the Gaussian, in nats; ``-inf`` where any draw
            has no finite density.
        slope: ``[dim]``, gradient in the mean, in coordinates in which the Gaussian (or, for
            mean field, the curvature it started from) is round.
        excess: Gradient in the logarithm of the scale, ``[dim, dim]`` in the whitened frame for
            full rank, ``[dim]`` for mean field; zero where the Gaussian has the average
            curvature of the density.
        slope_error: ``[dim]``, standard error of ``slope``.
        excess_variance: Sum over entries of the squared standard error of ``excess``.
        weight_variance: Variance of ``log p - log q`` over the draws; zero where the density is
            this Gaussian.
    """

    elbo: float
    slope: np.ndarray
    excess: np.ndarray
    slope_error: np.ndarray
    excess_variance: float
    weight_variance: float

    @property
    def predicted_kl(self) -> float:
        """Divergence from the optimum of the objective in the quadratic model, in nats."""
        with np.errstate(over="ignore"):
            return float(0.5 * np.sum(self.slope**2) + 0.25 * np.sum(self.excess**2))

    @property
    def error_kl(self) -> float:
        """Expected divergence that the finite sample itself costs, in nats."""
        return float(0.5 * np.sum(self.slope_error**2) + 0.25 * self.excess_variance)

    @property
    def mean_error(self) -> float:
        """Largest standard error of the mean, in standard deviations."""
        return float(np.max(self.slope_error))

    def is_solved(self, optimizer: Deterministic, may_add_draws: bool) -> bool:
        """Whether more steps on these draws are wasted.

        They are where the objective is solved, and where it is about to be replaced by a larger
        one and already solved to a tenth of its own sampling error.
        """
        if self.predicted_kl < optimizer.kl_tolerance:
            return True
        crude = may_add_draws and self.mean_error > optimizer.error_tolerance
        return crude and self.predicted_kl < 0.1 * self.error_kl


@dataclass(frozen=True)
class GaussianState:
    """A Gaussian on the way to the optimum of one sample-average objective.

    Args:
        loc: Mean, ``[dim]``.
        scale: ``[dim]`` standard deviations or ``[dim, dim]`` Cholesky factor.
        average: The averages there.
        elbos: The sample-average ELBO after every step, the start included.
    """

    loc: np.ndarray
    scale: np.ndarray
    average: GaussianAverage
    elbos: tuple[float, ...]


@_overflow_is_no_news
def average_full_rank(
    density: CountedDensity, loc: np.ndarray, scale_tril: np.ndarray, half: np.ndarray
) -> GaussianAverage:
    """Averages of a full-rank Gaussian over the rows of ``half`` and their negatives.

    Bonnet's and Price's theorems give the gradients in mean and covariance from first
    derivatives. Antithetic pairs split the score into its even part, which moves the mean, and
    its odd part, which moves the covariance; their spreads over pairs are the standard errors.
    """
    pairs, dim = half.shape
    log_p_sum, even_sum, even_squares, odd_norms = 0.0, np.zeros(dim), np.zeros(dim), 0.0
    outer, log_weights = np.zeros((dim, dim)), []
    for e in _chunks(half):
        offset = e @ scale_tril.T
        log_p, gradient = density(np.concatenate([loc + offset, loc - offset]))
        if not (np.isfinite(log_p).all() and np.isfinite(gradient).all()):
            nothing = np.full(dim, np.nan)
            return GaussianAverage(-np.inf, nothing, outer, nothing, np.nan, np.nan)
        whitened = gradient @ scale_tril
        plus, minus = whitened[: len(e)], whitened[len(e) :]
        even = 0.5 * (plus + minus)
        odd = 0.5 * (plus - minus) + e
        log_p_sum += float(log_p.sum())
        even_sum += even.sum(0)
        even_squares += (even**2).sum(0)
        outer += odd.T @ e
        norms = (e**2).sum(1)
        odd_norms += float(((odd**2).sum(1) * norms).sum())
        log_weights.append(log_p + 0.5 * np.tile(norms, 2))
    slope, outer = even_sum / pairs, outer / pairs
    log_scale = float(np.log(np.diagonal(scale_tril)).sum())
    return GaussianAverage(
        elbo=log_p_sum / (2 * pairs) + log_scale + _entropy(dim),
        slope=slope,
        excess=0.5 * (outer + outer.T),
        slope_error=np.sqrt(np.maximum(even_squares / pairs - slope**2, 0) / pairs),
        excess_variance=max(odd_norms / pairs - float(np.sum(outer**2)), 0.0) / pairs,
        weight_variance=float(np.var(np.concatenate(log_weights))),
    )


@_overflow_is_no_news
def average_mean_field(
    density: CountedDensity,
    loc: np.ndarray,
    scale: np.ndarray,
    half: np.ndarray,
    frame: np.ndarray,
) -> GaussianAverage:
    """Averages of a mean-field Gaussian over the rows of ``half`` and their negatives.

    Args:
        density: The log density.
        loc: Mean, ``[dim]``.
        scale: Standard deviations, ``[dim]``.
        half: Standard normal draws, ``[pair, dim]``.
        frame: Coordinates in which the mean moves: a factor ``[dim, dim]`` of the inverse
            curvature, or its diagonal ``[dim]``.
    """
    pairs, dim = half.shape
    sums, squares = np.zeros((2, dim)), np.zeros((2, dim))
    log_p_sum, log_weights = 0.0, []
    for e in _chunks(half):
        offset = scale * e
        log_p, gradient = density(np.concatenate([loc + offset, loc - offset]))
        if not (np.isfinite(log_p).all() and np.isfinite(gradient).all()):
            nothing = np.full(dim, np.nan)
            return GaussianAverage(-np.inf, nothing, nothing, nothing, np.nan, np.nan)
        plus, minus = gradient[: len(e)], gradient[len(e) :]
        even = 0.5 * (plus + minus)
        parts = (even @ frame if frame.ndim == 2 else even * frame), 0.5 * (plus - minus) * offset
        log_p_sum += float(log_p.sum())
        log_weights.append(log_p + 0.5 * np.tile((e**2).sum(1), 2))
        sums += [part.sum(0) for part in parts]
        squares += [(part**2).sum(0) for part in parts]
    means = sums / pairs
    slope_error, excess_error = np.sqrt(np.maximum(squares / pairs - means**2, 0) / pairs)
    return GaussianAverage(
        elbo=log_p_sum / (2 * pairs) + float(np.log(scale).sum()) + _entropy(dim),
        slope=means[0],
        excess=means[1] + 1,
        slope_error=slope_error,
        excess_variance=float(np.sum(excess_error**2)),
        weight_variance=float(np.var(np.concatenate(log_weights))),
    )


def _entropy(dim: int) -> float:
    return 0.5 * dim * float(1 + np.log(2 * np.pi))


def _chunks(half: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, min(len(half), _CHUNK_FLOATS // (2 * half.shape[1])))
    for start in range(0, len(half), rows):
        yield half[start : start + rows]
