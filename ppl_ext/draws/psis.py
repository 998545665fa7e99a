"""Pareto-smoothed importance sampling.

Written out here, for ArviZ takes a second and a half to import; a test compares the two.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["SmoothedWeights", "smooth_weights"]

# Below this spread (in nats) the weights are equal to rounding and a tail has no shape to fit:
# the hosts and ArviZ report k = inf there, for what is in fact a perfect guide.
_EQUAL = 1e-6
_FEWEST = 25  # positive weights below which no tail can be fitted


@dataclass(frozen=True)
class SmoothedWeights:
    """Normalised importance weights whose largest values follow a fitted Pareto tail.

    Args:
        log_weights: ``[draw]``, their exponentials sum to one.
        khat: Shape of the generalised Pareto distribution fitted to the tail; ``-inf`` where
            the largest weights are equal, so that there is no tail.
        ess: Effective number of draws, ``1 / sum(weights**2)``.

    Example:
        >>> smooth_weights(np.array([0.0, 0.0, 0.0, 0.0])).weights.round(2).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """

    log_weights: np.ndarray
    khat: float
    ess: float

    @property
    def weights(self) -> np.ndarray:
        """The weights themselves, ``[draw]``, summing to one."""
        weights: np.ndarray = np.exp(self.log_weights)
        return weights


def smooth_weights(log_weights: np.ndarray) -> SmoothedWeights:
    """Smooth, normalise and judge importance weights.

    The largest ``3 sqrt(n)`` weights are replaced by the quantiles of the generalised Pareto
    distribution fitted to them; its shape k-hat says how many moments of the weights exist.

    A draw of zero target density (``-inf``) keeps weight zero. k-hat needs a thousand draws at
    the very least and ten thousand to be steady to a tenth.

    Args:
        log_weights: ``log p - log q`` of each draw, ``[draw]``; any additive constant.

    Returns:
        The weights in the order given, k-hat and the effective sample size.

    Raises:
        ValueError: If there are fewer than two draws, a weight is NaN or ``+inf``, or none is
            positive.

    Example:
        >>> round(smooth_weights(np.zeros(1000)).ess)
        1000
        >>> tail = np.random.default_rng(0).standard_exponential(20_000)
        >>> round(smooth_weights(0.5 * tail).khat, 1)
        0.5

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry (2024), Pareto smoothed importance sampling,
        JMLR 25(72).
    """
    log_weights = np.asarray(log_weights, dtype=np.float64)
    if log_weights.ndim != 1 or log_weights.size < 2:
        raise ValueError(
            f"smooth_weights: log_weights has shape {log_weights.shape}; expected [draw] with "
            "two draws or more, such as draws.log_p - draws.log_q."
        )
    if np.isnan(log_weights).any() or np.isposinf(log_weights).any():
        bad = int(np.isnan(log_weights).sum() + np.isposinf(log_weights).sum())
        raise ValueError(
            f"smooth_weights: {bad} of {log_weights.size} log weights are NaN or +inf; a weight "
            "is zero (-inf) or finite. Look at log_p and log_q of those draws."
        )
    positive = np.isfinite(log_weights)
    if not positive.any():
        raise ValueError(
            "smooth_weights: every draw has weight zero, so guide and target do not overlap; "
            "fit the guide first."
        )
    smoothed = log_weights - log_weights.max()
    largest = np.sort(smoothed)[-max(2, _count_tail(len(smoothed))) :]
    if np.ptp(smoothed[positive]) < _EQUAL or largest[0] == largest[-1]:
        khat = -np.inf
    elif positive.sum() < _FEWEST:
        khat = np.inf
    else:
        smoothed[positive], khat = _smooth(smoothed[positive])
    smoothed = smoothed - np.logaddexp.reduce(smoothed)
    return SmoothedWeights(smoothed, float(khat), float(1 / np.exp(2 * smoothed).sum()))


def _count_tail(num_draws: int) -> int:
    return int(min(0.2 * num_draws, 3 * np.sqrt(num_draws)))


def _smooth(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights with a smoothed tail, and its shape."""
    count = _count_tail(len(log_weights))
    order = np.argsort(log_weights, kind="stable")
    tail = order[-count:]
    cutoff = np.exp(log_weights[order[-count - 1]])
    excess = np.exp(log_weights[tail]) - cutoff
    with np.errstate(all="ignore"):
        shape, scale = _fit_pareto(excess)
        probs = (np.arange(count) + 0.5) / count
        quantiles = cutoff + scale * np.expm1(-shape * np.log1p(-probs)) / shape
        smoothed = log_weights.copy()
        # No weight becomes larger than the largest that was seen.
        smoothed[tail] = np.minimum(np.log(quantiles), log_weights[order[-1]])
    if not (scale > 0 and np.isfinite(shape) and np.isfinite(smoothed[tail]).all()):
        # Equal weights with a few outliers: no Pareto tail fits, and no moment is promised.
        return log_weights, np.inf
    return smoothed, shape


def _fit_pareto(excess: np.ndarray) -> tuple[float, float]:
    """Shape and scale of the generalised Pareto distribution of sorted excesses.

    The posterior mean on a grid of Zhang and Stephens (2009), A new and efficient estimation
    method for the generalized Pareto distribution, Technometrics 51(3), the shape drawn towards
    one half with the weight of ten observations as in Vehtari et al. (2024).
    """
    count = len(excess)
    grid = 30 + int(np.sqrt(count))
    quartile = excess[int(count / 4 + 0.5) - 1]
    points = 1 - np.sqrt(grid / (np.arange(grid) + 0.5))
    points = 1 / excess[-1] + points / (3 * quartile)
    shapes = np.log1p(-points[:, None] * excess).mean(axis=1)
    profile = count * (np.log(-points / shapes) - shapes - 1)
    posterior = np.exp(profile - np.logaddexp.reduce(profile))
    point = float(posterior @ points)
    shape = float(np.log1p(-point * excess).mean())
    return (count * shape + 10 * 0.5) / (count + 10), -shape / point
