"""What a guide does not reach: tails beyond it and modes away from it.

Importance weights judge a guide only where it draws. Here the density is looked at elsewhere: in
the tails of every coordinate, and at the ends of optimisation paths from far away.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import gammaln, logsumexp

from ppl_ext.density import Density
from ppl_ext.diagnostics.moments import BatchMoments, summarize_batch
from ppl_ext.gaussian_vi.starts import find_finite_points, find_starts

__all__ = ["Gaussian", "MissedMode", "find_missed_modes", "probe_tails"]

_TAIL_FREEDOM, _TAIL_SCALE = 2.0, 1.5  # the wide marginal: one probe in four beyond two sds
_SHELL_FREEDOM = 3.0
# Searches for other modes start this many sds away, at every scale between the two.
_NEAREST, _FARTHEST = 3.0, 1000.0
_LEAST_SHARE = 0.01  # a mode with less of the mass is let go
_MISSED_WEIGHT = 3.0  # log importance weight at a mode above which the guide has missed it
_MOST_DENSE = 1000


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian on unconstrained space: the guide, or the moments of its draws.

    Args:
        loc: ``[dim]``.
        scale: ``[dim]`` standard deviations or ``[dim, dim]`` Cholesky factor.

    Example:
        >>> Gaussian(np.zeros(2), np.array([[3.0, 0.0], [4.0, 3.0]])).sd.tolist()
        [3.0, 5.0]
    """

    loc: np.ndarray
    scale: np.ndarray

    @classmethod
    def match(cls, z: np.ndarray) -> "Gaussian":
        """The Gaussian with the moments of draws, for a guide that is none.

        Args:
            z: Draws on unconstrained space, ``[draw, dim]``.

        Returns:
            A dense Gaussian where there are ten draws for each dimension and none stands still,
            else a diagonal one; zero is the scale of a coordinate in which all draws agree.

        Example:
            >>> z = np.random.default_rng(0).normal(3.0, 2.0, size=(50_000, 1))
            >>> Gaussian.match(z).sd.round(1).tolist()
            [2.0]
        """
        loc, sd = z.mean(axis=0), z.std(axis=0)
        sd = np.where(np.ptp(z, axis=0) > 0, sd, 0.0)
        if len(z) < 10 * z.shape[1] or not sd.all():
            return cls(loc, sd)
        return cls(loc, np.linalg.cholesky(np.atleast_2d(np.cov(z.T))))

    @property
    def sd(self) -> np.ndarray:
        """Marginal standard deviations, ``[dim]``."""
        if self.scale.ndim == 1:
            return self.scale
        sd: np.ndarray = np.sqrt((self.scale**2).sum(1))
        return sd

    def push(self, e: np.ndarray) -> np.ndarray:
        """Points ``[draw, dim]`` from whitened ones."""
        points: np.ndarray = self.loc + (
            e * self.scale if self.scale.ndim == 1 else e @ self.scale.T
        )
        return points

    def pull(self, z: np.ndarray) -> np.ndarray:
        """Whitened points ``[draw, dim]``."""
        offset = z - self.loc
        if self.scale.ndim == 1:
            whitened: np.ndarray = offset / self.scale
        else:
            whitened = solve_triangular(self.scale, offset.T, lower=True).T
        return whitened

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """Log density, ``[draw]``."""
        diagonal = self.scale if self.scale.ndim == 1 else np.diagonal(self.scale)
        constant = float(np.log(diagonal).sum()) + 0.5 * len(self.loc) * np.log(2 * np.pi)
        log_prob: np.ndarray = -0.5 * (self.pull(z) ** 2).sum(1) - constant
        return log_prob


@dataclass(frozen=True)
class MissedMode:
    """A mode of the posterior that the guide gives too little weight.

    Args:
        location: ``[dim]``, on unconstrained space.
        share: Its share of the posterior mass by Laplace's approximation, relative to what the
            guide has found.
        distance: Distance from the guide's mean in standard deviations of the guide.

    Example:
        >>> f"{MissedMode(np.array([7.0]), share=0.3, distance=7.0).share:.0%}"
        '30%'
    """

    location: np.ndarray
    share: float
    distance: float


def probe_tails(
    density: Density, gaussian: Gaussian, rng: np.random.Generator, num_draws: int = 8192
) -> list[BatchMoments]:
    """Importance-sampled moments from a proposal with wide tails in every direction.

    Half of the draws come from the Gaussian. A quarter has the marginal of one random coordinate
    replaced by a wide Student t, the others following by regression: a heavy tail of one
    parameter. The last quarter is a multivariate Student t: a shell all around. Weights against
    the mixture are at most twice those against the Gaussian, and bounded where the density has
    tails that the Gaussian never visits.

    Args:
        density: The log density.
        gaussian: The guide.
        rng: Source of randomness.
        num_draws: Number of evaluations of the density.

    Returns:
        Moments of the constrained sites in batches.

    References:
        Hesterberg (1995), Weighted average importance sampling and defensive mixture
        distributions, Technometrics 37(2).
        Owen, Zhou (2000), Safe and effective importance sampling, JASA 95(449).
    """
    rows = max(1, min(num_draws // 32, 500_000 // density.dim))
    batches = []
    for _ in range(-(-num_draws // (4 * rows))):
        e = rng.standard_normal((4 * rows, density.dim))
        stretch = np.sqrt(_SHELL_FREEDOM / rng.chisquare(_SHELL_FREEDOM, (rows, 1)))
        e[2 * rows : 3 * rows] *= stretch
        z = gaussian.push(e)
        z[3 * rows :] = _widen(gaussian, z[3 * rows :], rng)
        with np.errstate(all="ignore"):
            log_weights = density.log_p(z) - _log_proposal(gaussian, z)
            values = density.constrain(z)
        log_weights = np.where(np.isfinite(log_weights), log_weights, -np.inf)
        batches.append(summarize_batch(values, log_weights))
    return batches


def _widen(gaussian: Gaussian, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move one random coordinate of each draw to a wide marginal, the others by regression."""
    rows, coordinate = np.arange(len(z)), rng.integers(z.shape[1], size=len(z))
    sd = gaussian.sd[coordinate]
    u = (z[rows, coordinate] - gaussian.loc[coordinate]) / sd
    move = _TAIL_SCALE * rng.standard_t(_TAIL_FREEDOM, size=len(z)) - u
    if gaussian.scale.ndim == 1:
        z = z.copy()
        z[rows, coordinate] += move * sd
        return z
    regression = gaussian.scale[coordinate] @ gaussian.scale.T / sd[:, None]
    moved: np.ndarray = z + move[:, None] * regression
    return moved


def _log_proposal(gaussian: Gaussian, z: np.ndarray) -> np.ndarray:
    """Log density of the mixture from which `probe_tails` draws."""
    dim = z.shape[1]
    u = (z - gaussian.loc) / gaussian.sd
    marginal = (
        gammaln(0.5 * (_TAIL_FREEDOM + 1))
        - gammaln(0.5 * _TAIL_FREEDOM)
        - np.log(_TAIL_SCALE * np.sqrt(np.pi * _TAIL_FREEDOM))
        - 0.5 * (_TAIL_FREEDOM + 1) * np.log1p((u / _TAIL_SCALE) ** 2 / _TAIL_FREEDOM)
    )
    tail = logsumexp(marginal + 0.5 * (u**2 + np.log(2 * np.pi)), axis=1) - np.log(dim)
    squares = (gaussian.pull(z) ** 2).sum(1)
    shell = (
        gammaln(0.5 * (_SHELL_FREEDOM + dim))
        - gammaln(0.5 * _SHELL_FREEDOM)
        - 0.5 * dim * np.log(0.5 * _SHELL_FREEDOM)
        - 0.5 * (_SHELL_FREEDOM + dim) * np.log1p(squares / _SHELL_FREEDOM)
        + 0.5 * squares
    )
    parts = np.stack([np.full(len(z), np.log(0.5)), shell + np.log(0.25), tail + np.log(0.25)])
    log_proposal: np.ndarray = gaussian.log_prob(z) + logsumexp(parts, axis=0)
    return log_proposal


def find_missed_modes(
    density: Density,
    gaussian: Gaussian,
    log_evidence: float,
    rng: np.random.Generator,
    num_starts: int = 32,
) -> tuple[MissedMode, ...]:
    """Look for modes with mass that the guide does not cover.

    Paths climb from the guide's own mean, from around the origin and from outside the guide at
    every scale up to a thousand standard deviations. The mass at a mode is Laplace's
    approximation there.

    No search can promise that there is no further mode.

    Args:
        density: The log density.
        gaussian: The guide.
        log_evidence: Estimate of the log evidence from the guide's draws.
        rng: Source of randomness.
        num_starts: Number of paths beside the guide's own.

    Returns:
        The missed modes, the heaviest first.
    """
    if density.dim > _MOST_DENSE:
        return ()

    def quiet(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(all="ignore"):
            return density.log_density(z)

    near = find_finite_points(density, num_starts // 4, rng)
    far = gaussian.push(_draw_far_points(num_starts - len(near), density.dim, rng))
    starts = np.concatenate([gaussian.loc[None], near, far])
    missed = []
    for mode in find_starts(quiet, starts, density.dtype):
        if not mode.is_mode:
            continue
        log_mass = (
            mode.log_p
            + np.log(np.diagonal(mode.scale_tril)).sum()
            + 0.5 * density.dim * np.log(2 * np.pi)
        )
        share = float(1 / (1 + np.exp(np.clip(log_evidence - log_mass, -700, 700))))
        log_weight = mode.log_p - gaussian.log_prob(mode.loc[None])[0] - log_evidence
        if share > _LEAST_SHARE and log_weight > _MISSED_WEIGHT:
            distance = float(np.linalg.norm(gaussian.pull(mode.loc[None])))
            missed.append(MissedMode(mode.loc, share, distance))
    return tuple(sorted(missed, key=lambda mode: -mode.share))


def _draw_far_points(count: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Whitened points at all scales: half in any direction, half along one coordinate."""
    directions = rng.standard_normal((count, dim))
    single = rng.integers(dim, size=count // 2)
    directions[: count // 2] = np.eye(dim)[single] * rng.choice([-1.0, 1.0], (count // 2, 1))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = np.geomspace(_NEAREST, _FARTHEST, count)[rng.permutation(count), None]
    points: np.ndarray = directions * radii
    return points
