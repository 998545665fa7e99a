"""The end of a sweep: noise, priors and bound from sums over rows, wherever the rows are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, psi

from ppl_ext.factorization.model.gaussian_prior import GaussianPrior
from ppl_ext.factorization.model.noise import Noise
from ppl_ext.factorization.model.priors import AbstractPrior
from ppl_ext.factorization.model.side_posterior import Side, solve_concentration

__all__ = ["WARM_UP", "Conclusion", "SideSums", "add_side", "add_weights", "conclude_sweep"]

# Sweeps before the spread of the weights is learned: before that it is the misfit's.
WARM_UP = 3


@dataclass(frozen=True, eq=False)
class SideSums:
    """Sums over the rows of a side.

    Args:
        rows: Number of rows.
        first: ``[dim]``, of ``E[w]``.
        second: ``[dim, dim]``, of ``E[w w']``.
        log_det: Of the log determinants of the precisions.
        weight: Of ``E[a]``.
        log_weight: Of ``E[log a]``.
        counted: Of ``E[log a]`` times the number of ratings.
        scatter: Of ``shape psi(shape) - log Gamma(shape) - shape``.
    """

    rows: float
    first: np.ndarray
    second: np.ndarray
    log_det: float
    weight: float
    log_weight: float
    counted: float
    scatter: float

    def weight_divergence(self, concentration: float) -> float:
        """Sum of ``KL(q(a) || Gamma(concentration, concentration))``, in nats."""
        if not concentration:
            return 0.0
        start = gammaln(concentration) - concentration * math.log(concentration)
        moved = concentration * (self.weight - self.log_weight)
        return float(self.scatter + moved + self.rows * start)

    def learn_concentration(self) -> float:
        """The shape of the weights' prior that maximises the ELBO."""
        return solve_concentration((self.weight - self.log_weight) / self.rows)


def add_weights(side: Side, counts: np.ndarray) -> np.ndarray:
    """The last four of `SideSums`, of rows with these numbers of ratings."""
    if not side.concentration:
        return np.zeros(4)
    logs = side.expected_log_weights()
    scatter = side.shape * psi(side.shape) - gammaln(side.shape) - side.shape
    return np.array([np.sum(side.shape / side.rate), logs.sum(), counts @ logs, scatter.sum()])


def add_side(
    side: Side, counts: np.ndarray, first: np.ndarray, second: np.ndarray, log_det: float
) -> SideSums:
    """Sums over a side whose rows are all at hand.

    Args:
        side: The side.
        counts: ``[row]``, number of ratings.
        first: See `SideSums`.
        second: See `SideSums`.
        log_det: See `SideSums`.

    Returns:
        The sums.
    """
    return SideSums(len(side), first, second, log_det, *map(float, add_weights(side, counts)))


@dataclass(frozen=True, eq=False)
class Conclusion:
    """What a sweep ends with.

    Args:
        priors: Of the users and of the items.
        concentrations: Likewise, 0 where all weights are one.
        noise_precision: Of a rating whose weights are one.
        bound: The ELBO in nats, less the penalties of what is learned.
    """

    priors: tuple[GaussianPrior, GaussianPrior]
    concentrations: tuple[float, float]
    noise_precision: float
    bound: float


def conclude_sweep(
    sums: tuple[SideSums, SideSums],
    *,
    count: float,
    error: float,
    sweeps: int,
    noise_precision: float,
    concentrations: tuple[float, float],
    kinds: tuple[AbstractPrior, AbstractPrior],
    noise: Noise,
    variances: np.ndarray,
    spread: float,
    bias: bool,
) -> Conclusion:
    """Learn noise and priors, and say where the ELBO stands.

    Args:
        sums: Over the users and over the items.
        count: Number of ratings.
        error: Sum of the expected squared errors, weighted by user and item.
        sweeps: Number of sweeps made before this one.
        noise_precision: What the sweep was made with.
        concentrations: Likewise, of the users and of the items.
        kinds: What the priors may learn.
        noise: What the noise may learn.
        variances: ``[dim]``, what is expected of latent vectors before any rating is seen.
        spread: Variance of the ratings.
        bias: True where the model has biases.

    Returns:
        What the next sweep is made with.
    """
    tau, bound = noise_precision, 0.0
    if noise.variance is None:
        # As if one more rating were known to be off by the spread of all of them.
        tau = (count + 1) / (error + spread)
        bound -= 0.5 * (tau * spread - 1 - math.log(tau * spread))
    bound += 0.5 * count * math.log(tau / (2 * math.pi)) - 0.5 * tau * error
    priors, starts = [], []
    for side, kind, start in zip(sums, kinds, concentrations, strict=True):
        prior = kind.learn(side.rows, side.first, side.second, variances, bias)  # type: ignore[arg-type]
        if start and sweeps >= WARM_UP:
            start = side.learn_concentration()
        bound -= prior.divergence(side.rows, side.first, side.second, side.log_det)
        bound -= kind.penalty(prior, variances) + side.weight_divergence(start)
        bound += 0.5 * side.counted if start else 0.0
        priors.append(prior)
        starts.append(start)
    return Conclusion((priors[0], priors[1]), (starts[0], starts[1]), tau, bound)
