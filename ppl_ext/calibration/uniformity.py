"""Whether places of truths are uniform, and in which way they are not."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Departure", "measure_departure"]


@dataclass(frozen=True)
class Departure:
    """How places of truths depart from uniform, each with its probability by chance alone.

    Args:
        bias: Mean of the normal scores; positive where fits lie too low.
        spread: Mean of their squares: 1 if right, above it where fits are too narrow.
        bias_p: Two-sided p-value of the bias.
        spread_p: Two-sided p-value of the spread.
        shape_p: Of the Kolmogorov-Smirnov distance to the uniform distribution.
        symmetry_p: Of the distance between the places and their mirror image: the point estimate
            is right on average whatever the spread.

    Example:
        >>> Departure(0.0, 1.0, 1.0, 0.25, 0.5, 0.9).p_value
        0.75
    """

    bias: float
    spread: float
    bias_p: float
    spread_p: float
    shape_p: float
    symmetry_p: float

    @property
    def p_value(self) -> float:
        """Of the three tests of uniformity together, after Bonferroni."""
        return min(1.0, 3 * min(self.bias_p, self.spread_p, self.shape_p))


def measure_departure(places: np.ndarray) -> Departure:
    r"""Test places of truths against the uniform distribution.

    The normal scores :math:`\Phi^{-1}(u)` of exact places are standard normal, so that their mean
    and the sum of their squares have known laws; a wrong centre moves the one, a wrong width the
    other. The Kolmogorov-Smirnov distance sees the rest.

    Args:
        places: ``[simulation]`` in (0, 1).

    Returns:
        The departures.

    Example:
        >>> even = (np.arange(100) + 0.5) / 100
        >>> measure_departure(even).shape_p > 0.99, measure_departure(even**3).shape_p < 1e-6
        (True, True)

    References:
        Cook, Gelman, Rubin (2006), Validation of software for Bayesian models using posterior
        quantiles, JCGS 15(3).
        Talts, Betancourt, Simpson, Vehtari, Gelman (2018), Validating Bayesian inference
        algorithms with simulation-based calibration, arXiv:1804.06788.
        Yao, Vehtari, Simpson, Gelman (2018), Yes, but did it work?: evaluating variational
        inference, ICML (the symmetry).
    """
    from scipy import stats

    count = len(places)
    scores = stats.norm.ppf(places)
    total = float(scores @ scores)
    below = float(stats.chi2.cdf(total, count))
    return Departure(
        bias=float(scores.mean()),
        spread=total / count,
        bias_p=float(2 * stats.norm.sf(abs(scores.mean()) * np.sqrt(count))),
        spread_p=2 * min(below, float(stats.chi2.sf(total, count))),
        shape_p=float(stats.kstest(places, "uniform").pvalue),
        # Signs and ranks about the middle: exact where the law is symmetric, whatever it is.
        symmetry_p=float(stats.wilcoxon(places - 0.5).pvalue),
    )
