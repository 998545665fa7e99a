"""Where the draws of a fit lie: at the guide's, at those resampled, or at those of the chains."""

import math
from dataclasses import dataclass

import numpy as np

from ppl_ext.climbing.result import Climb
from ppl_ext.correction.result import Corrected
from ppl_ext.density import Density
from ppl_ext.diagnostics.gaussian import Gaussian
from ppl_ext.draws.resampling import choose_rows, truncate_weights
from ppl_ext.fitting.calls import check_count

__all__ = ["Points", "count_draws", "draw_points"]

_DRAWS = 4000
_FEWEST_WEIGHED, _MOST_TIMES, _MOST_FLOATS = 2000, 10, 2**26


@dataclass(frozen=True)
class Points:
    """Points on unconstrained space at which a model is to be scored.

    Args:
        z: ``[draw, dim]``.
        log_q: Log density of what they were drawn from, ``[draw]``; None where that is the
            posterior itself, whose log density is only known up to a constant.
        chains: Number of chains, their points stored one after the other.
        resampled: Whether the points follow the posterior.

    Example:
        >>> Points(np.zeros((4, 2)), log_q=np.zeros(4)).chains
        1
    """

    z: np.ndarray
    log_q: np.ndarray | None
    chains: int = 1
    resampled: bool = False


def count_draws(climb: Climb | None, num_draws: int | None, line: str) -> int:
    """How many draws a fit is to give.

    Args:
        climb: The climb of the fit, None where it has none.
        num_draws: Number wanted; None for 4,000, or for all of the chains where they have fewer.
        line: A call with as many as is usual.

    Returns:
        The number.

    Raises:
        ValueError: It is no positive whole number, or the chains have not as many.

    Example:
        >>> count_draws(None, None, "fit.draws(4000)")
        4000
    """
    if num_draws is not None:
        check_count("Fit.draws", "num_draws", num_draws, line)
    if climb is None or not climb.samples:
        return _DRAWS if num_draws is None else num_draws
    assert climb.corrected is not None
    most = len(climb.corrected.z)
    if num_draws is None:
        return min(_DRAWS, most)
    if num_draws > most:
        raise ValueError(
            f"Fit.draws: num_draws = {num_draws:,}, where sequential Monte Carlo has made "
            f"{most:,} draws; expected no more, for they cannot be drawn again. Have more made: "
            f"fit(..., climb=Correction(ess={num_draws}))."
        )
    return num_draws


def draw_points(
    density: Density,
    gaussian: Gaussian,
    climb: Climb,
    num_draws: int,
    rng: np.random.Generator,
) -> Points:
    """Points that follow the posterior, as the climb has left the way to them.

    Args:
        density: The log density.
        gaussian: The best Gaussian.
        climb: A climb that resamples or samples.
        num_draws: Number of points.
        rng: Source of randomness.

    Returns:
        The points.

    Example:
        >>> from ppl_ext.density import Site
        >>> from ppl_ext.diagnostics import Step, Verdict
        >>> normal = Density(
        ...     dim=1,
        ...     sites=(Site("x", (1,), 0, 1),),
        ...     log_density=lambda z: (-0.5 * (z**2).sum(-1), -z),
        ...     log_p=lambda z: -0.5 * (z**2).sum(-1),
        ...     constrain=lambda z: {"x": z},
        ...     explain=lambda z: "",
        ... )
        >>> wide = Gaussian(np.zeros(1), np.array([1.5]))
        >>> climb = Climb((Step("importance resampling", Verdict.GOOD, -1.0, 0, 0.0),))
        >>> points = draw_points(normal, wide, climb, 20_000, np.random.default_rng(0))
        >>> round(float(points.z.std()), 1)
        1.0
    """
    if climb.samples:
        assert climb.corrected is not None
        return _thin(climb.corrected, num_draws, rng)
    return _resample(density, gaussian, num_draws, rng)


def _thin(corrected: Corrected, num_draws: int, rng: np.random.Generator) -> Points:
    """Draws of the chains, spread evenly over chains, particles and time."""
    most, chains = len(corrected.z), corrected.draws.chains
    # One of each stratum at random: whole steps would meet the particles at one time alone.
    edges = np.arange(num_draws + 1) * most // num_draws
    rows = edges[:-1] + (rng.uniform(size=num_draws) * np.diff(edges)).astype(int)
    return Points(corrected.z[rows], None, math.gcd(num_draws, chains), resampled=True)


def _resample(
    density: Density, gaussian: Gaussian, num_draws: int, rng: np.random.Generator
) -> Points:
    """Points of the Gaussian, so many more that as many as are wanted count, resampled."""
    first = max(num_draws, _FEWEST_WEIGHED)
    z, log_weights = _weigh(density, gaussian, first, rng)
    weights = np.exp(log_weights - log_weights.max())
    share = weights.sum() ** 2 / (weights**2).sum() / first
    most = min(_MOST_TIMES * first, max(first, _MOST_FLOATS // density.dim))
    more = min(math.ceil(first / share), most) - first
    if more:
        others, log_others = _weigh(density, gaussian, more, rng)
        z, log_weights = np.concatenate([z, others]), np.concatenate([log_weights, log_others])
        weights = np.exp(log_weights - log_weights.max())
    # The report has found the tail of the weights mild: with the very largest cut off they need no
    # smoothing, whose fit of a tail is at the mercy of where the tail begins.
    z = z[rng.permutation(choose_rows(truncate_weights(weights), num_draws, rng))]
    return Points(z, gaussian.log_prob(z), resampled=True)


def _weigh(
    density: Density, gaussian: Gaussian, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    z = gaussian.push(rng.standard_normal((count, len(gaussian.loc))))
    # What the model sees is rounded; both densities must be those of the same point.
    z = z.astype(density.dtype).astype(np.float64)
    log_weights = density.log_p(z) - gaussian.log_prob(z)
    return z, np.where(np.isfinite(log_weights), log_weights, -np.inf)
