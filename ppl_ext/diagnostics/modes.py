"""Modes away from a guide, at the ends of optimisation paths from far away."""

from dataclasses import dataclass

import numpy as np

from ppl_ext.density import Density
from ppl_ext.diagnostics.gaussian import Gaussian
from ppl_ext.gaussian_vi.starts import find_finite_points, find_starts

__all__ = ["MissedMode", "find_missed_modes"]

# Searches for other modes start this many sds away, at every scale between the two.
_NEAREST, _FARTHEST = 3.0, 1000.0
_LEAST_SHARE = 0.01  # a mode with less of the mass is let go
_MISSED_WEIGHT = 3.0  # log importance weight at a mode above which the guide has missed it
_MOST_DENSE = 1000
# A path that starts where the density overflows may take ten times the rounds of the others.
_WAIT = 0.5


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
    factor = np.diag(gaussian.scale) if gaussian.scale.ndim == 1 else gaussian.scale
    missed = []
    for mode in find_starts(
        quiet, starts, density.dtype, frame=(gaussian.loc, factor), wait=_WAIT
    ):
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
