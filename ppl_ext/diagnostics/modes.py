"""Modes away from a guide, at the ends of optimisation paths from far away."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ppl_ext.density import Density
from ppl_ext.diagnostics.gaussian import Gaussian
from ppl_ext.diagnostics.valleys import are_apart
from ppl_ext.gaussian_vi.starts import Start, find_finite_points, find_starts

__all__ = ["MissedMode", "count_searches", "find_missed_modes"]

_LogDensity = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# Searches for other modes start this many sds away, at every scale between the two.
_NEAREST, _FARTHEST = 3.0, 1000.0
# A mode is let go that has less of the mass and moves the log sd by less: of share s at d sds it
# moves it by log(1 + s d^2) / 2.
_LEAST_SHARE, _LEAST_SHIFT = 0.01, 0.03
_MISSED_WEIGHT = 3.0  # log importance weight at a mode above which the guide has missed it
_MOST_DENSE = 1000
_FEWEST_SEARCHES, _SEARCHES_PER_DIM, _MOST_SEARCHES = 32, 8, 128
_MOST_FLOATS = 40_000  # numbers in the points of all paths
_PROBES = 64  # of which the best begins a path
# A path that starts where the density overflows may take ten times the rounds of the others.
_WAIT = 0.5


@dataclass(frozen=True)
class MissedMode:
    """A peak of the posterior that the guide gives too little weight.

    Args:
        location: ``[dim]``, on unconstrained space.
        share: Its share of the posterior mass by Laplace's approximation, relative to what the
            guide has found.
        distance: Distance from the guide's mean in standard deviations of the guide.
        site: Name of the site in which it is farthest from the guide's mean.
        apart: Whether a valley of two nats lies between; without one it is no other mode but a
            part of the posterior that the guide does not follow, such as the neck of a funnel.

    Example:
        >>> mode = MissedMode(np.array([7.0]), share=0.3, distance=7.0, site="x", apart=True)
        >>> f"{mode.share:.0%}"
        '30%'
    """

    location: np.ndarray
    share: float
    distance: float
    site: str
    apart: bool


def count_searches(dim: int) -> int:
    """From how many places modes are looked for, beside the guide's own.

    More in more dimensions, where a mode is seen from fewer of them, until memory is short.

    Args:
        dim: Number of dimensions.

    Returns:
        The number; 0 where there are too many dimensions to look for modes.

    Example:
        >>> [count_searches(dim) for dim in (1, 10, 100, 1000, 10_000)]
        [32, 80, 128, 40, 0]
    """
    if dim > _MOST_DENSE:
        return 0
    wanted = min(_SEARCHES_PER_DIM * dim, _MOST_SEARCHES, _MOST_FLOATS // dim)
    return max(_FEWEST_SEARCHES, wanted)


def find_missed_modes(
    density: Density,
    gaussian: Gaussian,
    log_evidence: float,
    rng: np.random.Generator,
    num_searches: int | None = None,
) -> tuple[MissedMode, ...]:
    """Look for modes with mass that the guide does not cover.

    Paths climb from the guide's own mean, from around the origin and from outside the guide at
    every scale up to a thousand standard deviations. Half of the latter begin at the best of
    many points, judged by how far the density exceeds the guide's: a narrow mode in many
    dimensions is seen from few of them. The mass at a mode is Laplace's approximation there.

    No search can promise that there is no further mode.

    Args:
        density: The log density.
        gaussian: The guide.
        log_evidence: Estimate of the log evidence from the guide's draws.
        rng: Source of randomness.
        num_searches: Number of paths beside the guide's own; `count_searches` if None.

    Returns:
        The missed modes, the heaviest first.
    """
    if num_searches is None:
        num_searches = count_searches(density.dim)
    if not num_searches or density.dim > _MOST_DENSE:
        return ()

    def quiet(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(all="ignore"):
            return density.log_density(z)

    near = find_finite_points(density, num_searches // 4, rng)
    num_chosen = (num_searches - len(near)) // 2
    num_far = num_searches - len(near) - num_chosen
    far = gaussian.push(_draw_far_points(num_far, density.dim, rng))
    chosen = _choose_far_points(quiet, gaussian, num_chosen, rng)
    starts = np.concatenate([gaussian.loc[None], near, far, chosen])
    factor = np.diag(gaussian.scale) if gaussian.scale.ndim == 1 else gaussian.scale
    missed = []
    for mode in find_starts(
        quiet, starts, density.dtype, frame=(gaussian.loc, factor), wait=_WAIT
    ):
        if not mode.is_mode:
            continue
        share = _measure_share(mode, log_evidence)
        log_weight = mode.log_p - gaussian.log_prob(mode.loc[None])[0] - log_evidence
        distance = float(np.linalg.norm(gaussian.pull(mode.loc[None])))
        matters = share > _LEAST_SHARE or 0.5 * np.log1p(share * distance**2) > _LEAST_SHIFT
        if matters and log_weight > _MISSED_WEIGHT:
            missed.append((mode.loc, share, distance))
    # A guide that lies between two modes is apart from neither, but they are from each other.
    places = [gaussian.loc, *(location for location, _, _ in missed)]
    found = [
        MissedMode(
            location,
            share,
            distance,
            _name_farthest(density, gaussian, location),
            any(
                are_apart(quiet, place, location, gaussian.scale)
                for place in places
                if place is not location
            ),
        )
        for location, share, distance in missed
    ]
    return tuple(sorted(found, key=lambda mode: -mode.share))


def _measure_share(mode: Start, log_evidence: float) -> float:
    log_scale = np.log(np.diagonal(mode.scale_tril)).sum()
    log_mass = mode.log_p + log_scale + 0.5 * len(mode.loc) * np.log(2 * np.pi)
    return float(1 / (1 + np.exp(np.clip(log_evidence - log_mass, -700, 700))))


def _name_farthest(density: Density, gaussian: Gaussian, location: np.ndarray) -> str:
    farthest = int(np.argmax(np.abs(location - gaussian.loc) / gaussian.sd))
    return next(site.name for site in density.sites if site.start <= farthest < site.stop)


def _choose_far_points(
    log_density: _LogDensity, gaussian: Gaussian, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Of points at each scale the one where the density exceeds the guide's by most."""
    dim = len(gaussian.loc)
    e = _draw_far_points(count * _PROBES, dim, rng)
    e = e[np.argsort(np.linalg.norm(e, axis=1))]
    z = gaussian.push(e)
    log_p = log_density(z)[0]
    excess = np.where(np.isfinite(log_p), log_p + 0.5 * (e**2).sum(1), -np.inf)
    best = np.argmax(excess.reshape(count, _PROBES), axis=1)
    chosen: np.ndarray = z.reshape(count, _PROBES, dim)[np.arange(count), best]
    return chosen


def _draw_far_points(count: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    """Whitened points at all scales: half in any direction, half along one coordinate."""
    directions = rng.standard_normal((count, dim))
    single = rng.integers(dim, size=count // 2)
    directions[: count // 2] = np.eye(dim)[single] * rng.choice([-1.0, 1.0], (count // 2, 1))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = np.geomspace(_NEAREST, _FARTHEST, count)[rng.permutation(count), None]
    points: np.ndarray = directions * radii
    return points
