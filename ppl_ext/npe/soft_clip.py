"""Coordinates of bounded values that are the values themselves, away from their bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["SOFTNESS", "SoftClip"]

# Softnesses that are worth a try, in shares of the interval: what the data tell may be far finer
# than the prior, and about as wide.
SOFTNESS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class SoftClip:
    r"""From logits of bounded values to the values, drawn out near their bounds.

    .. math:: y = \theta + s \log\frac{1 - e^{-\theta / s}}{1 - e^{-(1 - \theta) / s}},
        \quad \theta = \frac{1}{1 + e^{-z}}

    Its inverse is the identity within the interval and a soft clip at both ends. What is known of
    a value to within the same error everywhere is so in :math:`y` too, where in :math:`z` the
    error grows towards the bounds. With :math:`s` without end :math:`y` is :math:`z`, but for a
    factor.

    Args:
        softness: :math:`s` of each coordinate, ``[dim]``; infinite for the identity.

    Example:
        >>> clip = SoftClip(np.array([0.01, np.inf]))
        >>> clip.push(np.zeros(2)).tolist()
        [0.5, 0.0]
        >>> bool(np.allclose(clip.pull(clip.push(np.array([3.0, 4.0]))), [3.0, 4.0]))
        True

    References:
        Dillon, Langmore, Tran, Brevdo, Vasudevan, Moore, Patton, Alemi, Hoffman, Saurous (2017),
        TensorFlow Distributions, arXiv:1711.10604 (its bijector ``SoftClip``).
    """

    softness: np.ndarray

    @property
    def bent(self) -> np.ndarray:
        """Which coordinates are not left as they are, ``[dim]``."""
        return np.isfinite(self.softness)

    def push(self, z: np.ndarray) -> np.ndarray:
        """``y[..., dim]`` of points ``z[..., dim]``."""
        s, low, high = self._read(z)
        pushed: np.ndarray = np.where(
            self.bent, np.exp(low) + s * (_log_rise(low, s) - _log_rise(high, s)), z
        )
        return pushed

    def pull(self, y: np.ndarray) -> np.ndarray:
        """Points ``z[..., dim]`` of ``y[..., dim]``."""
        s = self._softness
        low, high = _log_clip(y, s), _log_clip(1 - y, s)
        pulled: np.ndarray = np.where(self.bent, low - high, y)
        return pulled

    def log_slope(self, z: np.ndarray) -> np.ndarray:
        """Logarithms of the slopes of `push` at ``z[..., dim]``, ``[..., dim]``."""
        s, low, high = self._read(z)
        # dy / dtheta is 1 / (1 - exp(-theta / s)) + 1 / (1 - exp(-(1 - theta) / s)) - 1.
        rises = _log_rise(low, s), _log_rise(high, s)
        both = np.log1p(-np.exp(-1 / s)) - rises[0] - rises[1]
        slope: np.ndarray = np.where(self.bent, low + high + both, 0.0)
        return slope

    @property
    def _softness(self) -> np.ndarray:
        return np.where(self.bent, self.softness, 1.0)

    def _read(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Softness, and logarithms of the distances to both bounds."""
        return self._softness, -np.logaddexp(0, -z), -np.logaddexp(0, z)


def _log_rise(log_distance: np.ndarray, s: np.ndarray) -> np.ndarray:
    """``log(1 - exp(-distance / s))``, also where the distance is less than any number."""
    ratio = np.exp(log_distance) / s
    with np.errstate(divide="ignore"):
        exact = np.log(-np.expm1(-ratio))
    return np.where(ratio > 1e-9, exact, log_distance - np.log(s))


def _log_clip(y: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Logarithm of ``s * (softplus(y / s) - softplus((y - 1) / s))``, the distance to a bound."""
    inner = y / s + np.log(-np.expm1(-1 / s)) - np.logaddexp(0, (y - 1) / s)
    softplus = np.logaddexp(0, inner)
    with np.errstate(divide="ignore"):
        exact = np.log(softplus)
    clipped: np.ndarray = np.log(s) + np.where(inner > -30, exact, inner)
    return clipped
