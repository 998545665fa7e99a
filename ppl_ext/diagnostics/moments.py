"""Means and standard deviations of weighted draws that arrive batch by batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["BatchMoments", "Moments", "label_elements", "pool_moments", "summarize_batch"]

# Smallest standard deviation that is told from none where all values are whole numbers, as those
# of discrete sites: that of an event that happens once in four hundred draws.
_LEAST_OF_WHOLE = 0.05


@dataclass(frozen=True)
class BatchMoments:
    """Weighted moments of one batch of draws.

    Args:
        log_total: Logarithm of the sum of the weights.
        mean: ``[element]``, over all elements of all sites in order.
        variance: ``[element]``.
        whole: ``[element]``, whether all values are whole numbers.
    """

    log_total: float
    mean: np.ndarray
    variance: np.ndarray
    whole: np.ndarray


@dataclass(frozen=True)
class Moments:
    """Pooled moments and their standard errors.

    Args:
        mean: ``[element]``.
        sd: ``[element]``.
        mean_error: ``[element]``, standard error of the mean in units of ``sd``; zero for a
            constant.
        sd_error: ``[element]``, standard error of ``log(sd)``; zero for a constant.
        least: ``[element]``, standard deviation that stands for all smaller ones where moments
            are compared: rare values of discrete sites come too seldom to tell.
    """

    mean: np.ndarray
    sd: np.ndarray
    mean_error: np.ndarray
    sd_error: np.ndarray
    least: np.ndarray

    @property
    def still(self) -> np.ndarray:
        """Which elements are constant, ``[element]``."""
        return _stand_still(self.sd, self.mean)

    def shift_from(self, other: "Moments") -> tuple[np.ndarray, np.ndarray]:
        """How far these moments lie from others, in units of the other standard deviations.

        Args:
            other: The moments to compare with.

        Returns:
            ``[element]`` absolute differences of the means in ``other.sd``, and ``[element]``
            absolute logarithms of the ratio of standard deviations; zero for constants.
        """
        still = _stand_still(np.maximum(self.sd, other.sd), other.mean)
        own, others = (np.maximum(moments.sd, self.least) for moments in (self, other))
        with np.errstate(divide="ignore", invalid="ignore"):
            means = np.abs(self.mean - other.mean) / others
            sds = np.abs(np.log(own / others))
        return tuple(  # type: ignore[return-value]
            np.where(still, 0.0, np.nan_to_num(shift, nan=np.inf)) for shift in (means, sds)
        )


def summarize_batch(values: Mapping[str, np.ndarray], log_weights: np.ndarray) -> BatchMoments:
    """Weighted moments of every element of every site in one batch.

    Args:
        values: ``{site: array[draw, ...]}``.
        log_weights: ``[draw]``, not normalised; ``-inf`` for weight zero.

    Returns:
        The moments; NaN where no draw has a weight.

    Example:
        >>> batch = summarize_batch({"x": np.array([0.0, 2.0])}, np.log([0.25, 0.75]))
        >>> batch.mean.tolist(), batch.variance.tolist()
        ([1.5], [0.75])
    """
    log_total = float(np.logaddexp.reduce(log_weights))
    flat = np.concatenate(
        [np.reshape(array, (len(log_weights), -1)) for array in values.values()], axis=1
    ).astype(np.float64)
    whole = np.all(flat == np.round(flat), axis=0)
    if not np.isfinite(log_total):
        nothing = np.full(flat.shape[1], np.nan)
        return BatchMoments(-np.inf, nothing, nothing, whole)
    weights = np.exp(log_weights - log_total)
    # A draw of weight zero may hold an infinite value, which must not become NaN.
    flat = np.where(weights[:, None] > 0, flat, 0.0)
    mean = weights @ flat
    return BatchMoments(log_total, mean, weights @ (flat - mean) ** 2, whole)


def pool_moments(batches: Sequence[BatchMoments]) -> Moments:
    """Pool batches; leaving one out at a time tells the standard errors.

    Args:
        batches: Two or more batches of the same sites.

    Returns:
        The pooled moments with jackknife standard errors.

    References:
        Efron, Stein (1981), The jackknife estimate of variance, Annals of Statistics 9(3).
    """
    batches = [batch for batch in batches if np.isfinite(batch.log_total)]
    if len(batches) < 2:
        size = len(batches[0].mean) if batches else 0
        unknown = np.full(size, np.nan)
        return Moments(unknown, unknown, unknown, unknown, np.zeros(size))
    log_totals = np.array([batch.log_total for batch in batches])
    weights = np.exp(log_totals - log_totals.max())
    means = np.stack([batch.mean for batch in batches])
    variances = np.stack([batch.variance for batch in batches])
    mean, sd = _combine(weights, means, variances)
    rows = np.arange(len(batches))
    left_out = [
        _combine(weights[rows != row], means[rows != row], variances[rows != row]) for row in rows
    ]
    spread = np.sqrt(len(batches) - 1)
    # Half of a Cholesky factor never moves: it has no error, not an unknown one.
    still = _stand_still(sd, mean)
    least = np.where(np.all([batch.whole for batch in batches], axis=0), _LEAST_OF_WHOLE, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_error = spread * np.std([part[0] for part in left_out], axis=0)
        mean_error /= np.maximum(sd, least)
        sds = np.maximum([part[1] for part in left_out], least)
        sd_error = spread * np.std(np.log(sds), axis=0)
    mean_error, sd_error = (np.where(still, 0.0, error) for error in (mean_error, sd_error))
    return Moments(mean, sd, mean_error, sd_error, least)


def _stand_still(sd: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Which elements are constant to the rounding of their sums."""
    still: np.ndarray = sd <= 1e-9 * np.maximum(np.abs(mean), 1e-300)
    return still


def _combine(
    weights: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    weights = weights / weights.sum()
    mean = weights @ means
    return mean, np.sqrt(weights @ (variances + (means - mean) ** 2))


def label_elements(values: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the elements in the order of the moments, such as ``theta[3]``.

    Args:
        values: ``{site: array[draw, ...]}``.

    Returns:
        One name for each element.

    Example:
        >>> label_elements({"mu": np.zeros(5), "theta": np.zeros((5, 2))})
        ['mu', 'theta[0]', 'theta[1]']
    """
    labels = []
    for site, array in values.items():
        for index in np.ndindex(*array.shape[1:]):
            labels.append(f"{site}[{','.join(map(str, index))}]" if index else site)
    return labels
