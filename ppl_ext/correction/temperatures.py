"""How far to heat next, and what the step says of the evidence."""

import numpy as np
from scipy.special import logsumexp

from ppl_ext.draws.resampling import choose_rows, truncate_weights

__all__ = ["effective_share", "next_temperature", "pool_evidence", "resample"]

_BISECTIONS = 50
_SMALLEST = 1e-6  # a smaller step than this gets nowhere: the population has died


def effective_share(log_weights: np.ndarray) -> np.ndarray:
    """Effective number of weights as a share of all, ``[island]``, from ``[island, particle]``."""
    with np.errstate(invalid="ignore"):
        first = logsumexp(log_weights, axis=1)
        second = logsumexp(2 * log_weights, axis=1)
        share = np.exp(2 * first - second) / log_weights.shape[1]
    return np.nan_to_num(share)


def next_temperature(log_weights: np.ndarray, temperature: float, share: float) -> float | None:
    """The temperature at which the effective number of particles falls to a share.

    Args:
        log_weights: ``log model - log start`` of each particle, ``[island, particle]``.
        temperature: The present temperature.
        share: The share, an average over islands.

    Returns:
        A temperature up to 1; None where not even the smallest step leaves enough particles.
    """

    def enough(step: float) -> bool:
        return bool(effective_share(_scale(log_weights, step)).mean() >= share)

    if enough(1 - temperature):
        return 1.0
    low, high = 0.0, 1 - temperature
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if enough(middle) else (low, middle)
    return temperature + low if low > _SMALLEST else None


def resample(
    log_weights: np.ndarray, step: float, rng: np.random.Generator, count: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Resample each island by itself, systematically.

    Args:
        log_weights: ``log model - log start``, ``[island, particle]``.
        step: Difference of temperatures.
        rng: Source of randomness.
        count: Particles wanted on all islands; as many as there are if None.

    Returns:
        Rows ``[island * particle]`` of those that go on, siblings side by side, and each island's
        log ratio of normalising constants, ``[island]``.
    """
    scaled = _scale(log_weights, step)
    islands, size = scaled.shape
    wanted = size if count is None else count // islands
    log_ratios = logsumexp(scaled, axis=1) - np.log(size)
    rows = []
    for island in range(islands):
        mine = island * size + np.arange(size)
        if not np.isfinite(scaled[island]).any():
            mine = np.arange(scaled.size)  # an island that died is peopled from all others
        weights = np.exp(scaled.ravel()[mine] - scaled.ravel()[mine].max())
        # One weight may not people an island: moves see to what truncation leaves of it.
        rows.append(mine[choose_rows(truncate_weights(weights), wanted, rng)])
    return np.concatenate(rows), log_ratios


def pool_evidence(log_evidences: np.ndarray) -> tuple[float, float]:
    """Log of the islands' mean evidence and its standard error in nats."""
    pooled = float(logsumexp(log_evidences) - np.log(len(log_evidences)))
    relative = np.exp(log_evidences - pooled)
    return pooled, float(relative.std(ddof=1) / np.sqrt(len(relative)))


def _scale(log_weights: np.ndarray, step: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(log_weights), -np.inf, step * log_weights)
