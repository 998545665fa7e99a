"""What the noise of a flow has to be, for held-out pairs to be as likely as can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln, logsumexp

__all__ = ["Noise", "fit_noise"]

_LEAST_DF, _MOST_DF = 2.0, 100.0  # beyond, float32 sees no difference from a Gaussian
_WORTH_IT = 2.0  # nats over all pairs, one for each of the two numbers (Akaike 1974)


@dataclass(frozen=True)
class Noise:
    """A multivariate t distribution about zero, of which a flow makes its draws.

    Args:
        scale: Scale of each coordinate.
        df: Degrees of freedom.

    Example:
        >>> noise = Noise(scale=1.1, df=20.0)
        >>> round(float(noise.log_prob(0.0, dim=2)), 4)
        -2.0285
    """

    scale: float
    df: float

    def log_prob(self, squares: float | np.ndarray, dim: int) -> np.ndarray:
        """Log density of points of these squared lengths in so many dimensions."""
        half = (self.df + dim) / 2
        at_zero = gammaln(half) - gammaln(self.df / 2)
        at_zero -= dim * (np.log(self.df * np.pi) / 2 + np.log(self.scale))
        log_density: np.ndarray = at_zero - half * np.log1p(squares / (self.df * self.scale**2))
        return log_density


def fit_noise(log_q: np.ndarray, squares: np.ndarray, dim: int) -> Noise | None:
    r"""Fit the noise of trained flows to pairs that they were not trained on.

    Flows that have learned more from their pairs than these say draw too narrowly, most of all
    where few pairs lie: held-out pairs, mapped back to noise, are wider than standard normal and
    have heavier tails. Two numbers tell how much,

    .. math:: \max_{s, \nu} \sum_i \log \tfrac1M \sum_m t_\nu(e_{mi}; 0, s^2 I)\, J_{mi}

    Args:
        log_q: Log densities of the pairs with standard normal noise, ``[member, pair]``.
        squares: Squared lengths of the noise ``e`` that they come from, ``[member, pair]``.
        dim: Number of coordinates.

    Returns:
        The noise, or None where the standard normal one is as good.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> squares = (rng.normal(0, 1.2, (1, 1000, 3)) ** 2).sum(-1)
        >>> round(fit_noise(-squares / 2, squares, dim=3).scale, 1)
        1.2
        >>> squares = squares / 1.44
        >>> fit_noise(-squares / 2, squares, dim=3) is None
        True

    References:
        Jaini, Kobyzev, Yu, Brubaker (2020), Tails of Lipschitz triangular flows, ICML.
    """
    finite = np.isfinite(squares + log_q).all(0)
    squares, log_q = squares[:, finite], log_q[:, finite]
    log_slope = log_q + squares / 2 + dim * np.log(2 * np.pi) / 2

    def loss(numbers: np.ndarray) -> float:
        noise = Noise(*np.exp(numbers))
        return -float(logsumexp(noise.log_prob(squares, dim) + log_slope, 0).sum())

    start = np.log([np.sqrt(squares.mean() / dim), 20.0])
    limits = [(-1.0, 1.0), tuple(np.log([_LEAST_DF, _MOST_DF]))]
    found = minimize(loss, np.clip(start, *np.transpose(limits)), bounds=limits)
    if -found.fun - float(logsumexp(log_q, 0).sum()) <= _WORTH_IT:
        return None
    return Noise(*map(float, np.exp(found.x)))
