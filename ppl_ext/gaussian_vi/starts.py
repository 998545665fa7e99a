"""Where to start: modes of the density and the Gaussian that its curvature gives there."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ppl_ext.density import Density
from ppl_ext.gaussian_vi.ascent import Ascent, climb
from ppl_ext.gaussian_vi.curvature import measure_curvature

__all__ = [
    "Start",
    "draw_initial_points",
    "explain_point",
    "factor_covariance",
    "find_finite_points",
    "find_starts",
    "triangular_root",
]

_LogDensity = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
_RADIUS = 2.0  # half-width of the cube of initial points, the hosts' own convention
_ATTEMPTS = 100
_GAIN = 1e-3  # predicted gain in nats at which an ascent has arrived
_MODE_GAIN = 1e-2
_MOST_ENDS = 8  # the highest; curvature costs four gradients a dimension at each
_SAME_MODE = 1.0  # two ends closer than this, in local standard deviations, are one mode


@dataclass(frozen=True)
class Start:
    """A Gaussian from which a fit can start.

    Args:
        loc: ``[dim]``.
        scale_tril: ``[dim, dim]``, Cholesky factor of the covariance.
        log_p: Log density at ``loc``.
        is_mode: Whether ``loc`` is a strict local maximum, not a place where a path ran out of
            steps or the density is flat or saddle-shaped.
    """

    loc: np.ndarray
    scale_tril: np.ndarray
    log_p: float
    is_mode: bool


def draw_initial_points(density: Density, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points of finite density, uniform in a cube of half-width two around the origin.

    Where the density overflows that far out, the cube shrinks.

    Args:
        density: The log density.
        count: How many points.
        rng: Source of randomness.

    Returns:
        ``[count, dim]``, fewer rows where few of the points tried have a finite density.

    Raises:
        ValueError: If the density is finite at none of the points tried; the message names the
            site that is to blame.
    """
    points = find_finite_points(density, count, rng)
    if len(points):
        return points
    anywhere = rng.uniform(-_RADIUS, _RADIUS, density.dim)
    raise ValueError(
        f"fit: the log density is not finite at any of {_ATTEMPTS * count} initial points "
        f"in [-{_RADIUS:g}, {_RADIUS:g}]^{density.dim} of unconstrained space, or nearer to its "
        "origin. "
        f"{explain_point(density, anywhere)}Expected a finite log density at some of them; check "
        "the data against the support of the observed sites, and scale the priors so that typical "
        "draws do not overflow."
    )


def find_finite_points(density: Density, count: int, rng: np.random.Generator) -> np.ndarray:
    """The same points where there may be none, ``[count, dim]`` or fewer rows."""
    found = np.empty((0, density.dim))
    for attempt in range(_ATTEMPTS):
        radius = _RADIUS * 0.5 ** (10 * attempt // _ATTEMPTS)
        points = rng.uniform(-radius, radius, (count, density.dim))
        with np.errstate(all="ignore"):
            log_p, gradient = density.log_density(points)
        finite = np.isfinite(log_p) & np.isfinite(gradient).all(axis=1)
        found = np.concatenate([found, points[finite]])
        if len(found) >= count:
            break
    return found[:count]


def explain_point(density: Density, z: np.ndarray) -> str:
    """What a room says of a point without density, as a sentence of its own; empty if nothing."""
    text = density.explain(z).rstrip(". ")
    return f"{text[0].upper()}{text[1:]}. " if text else ""


def find_starts(
    log_density: _LogDensity,
    points: np.ndarray,
    precision: type | np.dtype,
    *,
    frame: tuple[np.ndarray, np.ndarray] | None = None,
    wait: float = np.inf,
) -> list[Start]:
    """The distinct ends of ascents from several points, the highest first, with their curvature.

    The paths climb twice: in the coordinates given, and once more in those of the curvature at
    the best end, where a badly scaled density has become round.

    Args:
        log_density: ``z[draw, dim] -> (log_p[draw], gradient[draw, dim])``.
        points: ``[start, dim]``.
        precision: Floating-point type in which the density runs.
        frame: Mean and Cholesky factor of a Gaussian that has about the shape of the density, in
            whose coordinates the paths climb first; those of ``points`` if None.
        wait: How long stragglers are waited for, see `climb`.

    Returns:
        One start for each of the highest distinct ends whose curvature is finite.
    """
    if frame is None:
        rough = climb(log_density, points, wait=wait)
    else:
        rough = _climb_rounded(log_density, points, *frame, tolerance=10 * _GAIN, wait=wait)
    best = int(np.argmax(rough.log_p))
    factor = factor_covariance(measure_curvature(log_density, rough.points[[best]], precision)[0])
    if factor is None:
        factor = np.eye(points.shape[1])
    origin = rough.points[best]
    ends = _climb_rounded(log_density, rough.points, origin, factor, tolerance=_GAIN, wait=wait)
    apart = np.linalg.solve(factor, (ends.points - origin).T).T
    distinct: list[int] = []
    for end in np.argsort(-ends.log_p):
        far = [np.linalg.norm(apart[end] - apart[k]) > _SAME_MODE for k in distinct]
        if np.isfinite(ends.log_p[end]) and all(far) and len(distinct) < _MOST_ENDS:
            distinct.append(int(end))
    locs = ends.points[distinct]
    log_p, gradients = log_density(locs)
    starts = []
    for loc, height, gradient in zip(locs, log_p, gradients, strict=True):
        curvature = measure_curvature(log_density, loc[None], precision)[0]
        local = factor_covariance(curvature)
        if local is not None:
            # Newton's own prediction: that of the limited memory is too low along a ridge.
            with np.errstate(over="ignore", invalid="ignore"):
                gain = 0.5 * float(np.sum((gradient @ local) ** 2))
            is_mode = gain < _MODE_GAIN and bool(np.linalg.eigvalsh(curvature)[0] > 0)
            starts.append(Start(loc, local, float(height), is_mode))
    return starts


def _climb_rounded(
    log_density: _LogDensity,
    points: np.ndarray,
    origin: np.ndarray,
    factor: np.ndarray,
    *,
    tolerance: float,
    wait: float,
) -> Ascent:
    """Climb in coordinates that have their origin and unit vectors elsewhere."""

    def rounded(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_p, gradient = log_density(origin + w @ factor.T)
        with np.errstate(invalid="ignore"):
            return log_p, gradient @ factor

    starts = np.linalg.solve(factor, (points - origin).T).T
    ends = climb(rounded, starts, tolerance=tolerance, wait=wait)
    return replace(ends, points=origin + ends.points @ factor.T)


def factor_covariance(curvature: np.ndarray) -> np.ndarray | None:
    """Cholesky factor of the inverse of a curvature, made positive by flipping its signs.

    Args:
        curvature: Negative Hessian, ``[dim, dim]``.

    Returns:
        ``[dim, dim]`` lower triangular, or None where the curvature is not finite.
    """
    if not np.isfinite(curvature).all():
        return None
    # Eigenvalues are taken in unit-diagonal coordinates: raw ones span 16 decades for
    # predictors on different scales, and their small end would be rounding.
    scale = 1 / np.sqrt(np.maximum(np.abs(np.diagonal(curvature)), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(curvature * scale[:, None] * scale)
    values = np.maximum(np.abs(values), 1e-8 * max(1.0, float(np.abs(values).max())))
    root = scale[:, None] * vectors / np.sqrt(values)
    return triangular_root(root)


def triangular_root(root: np.ndarray) -> np.ndarray:
    """The lower triangular ``L`` with positive diagonal and ``L L' = root root'``."""
    lower = np.asarray(np.linalg.qr(root.T, mode="r")).T
    return lower * np.where(np.diagonal(lower) < 0, -1.0, 1.0)
