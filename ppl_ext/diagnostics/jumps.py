"""Whether the gradient of a density is that of its values: not where it jumps, or is rounded."""

from dataclasses import dataclass

import numpy as np

from ppl_ext.density import Density
from ppl_ext.diagnostics.gaussian import Gaussian

__all__ = ["Jumps", "find_jumps"]

_SEGMENTS, _NODES = 64, 16
_LENGTH = 0.25  # of a segment, in marginal sds of its site
_STEP = 0.1  # nats along a segment that its gradient does not tell
_FEWEST = 3  # segments: one alone may have met a kink
_ROUNDING = 100  # units in the last place of the log density
_NEAR = np.arange(1, 9) / 256  # of a segment: hardly ever is a step of the model in between


@dataclass(frozen=True)
class Jumps:
    """Where the values of a density change by more than its gradient says.

    Args:
        sites: Sites along which it jumps.
        size: Median of the changes that the gradient misses, in nats.
        share: Share of the segments along these sites that hold one.
        precision: Name of the precision that makes them, where points next to one another differ
            as much; empty where the model has them.

    Example:
        >>> print(Jumps(("speed",), size=0.4, share=0.3))
        along 'speed' the log density jumps by 0.4 nats, which its gradient does not tell: a count
        of steps, a rounding or a comparison hides in the model; write it in closed form
    """

    sites: tuple[str, ...]
    size: float
    share: float
    precision: str = ""

    def __str__(self) -> str:
        names = ", ".join(f"'{name}'" for name in self.sites)
        if self.precision:
            return (
                f"along {names} {self.precision} rounds the log density by {self.size:.2g} nats, "
                "for it is a small difference of large terms"
            )
        return (
            f"along {names} the log density jumps by {self.size:.2g} nats, which its gradient "
            "does not tell: a count of steps, a rounding or a comparison hides in the model; "
            "write it in closed form"
        )


def find_jumps(density: Density, gaussian: Gaussian, rng: np.random.Generator) -> Jumps | None:
    """Compare differences of the log density with line integrals of its gradient.

    Along short segments from draws of a Gaussian, in the coordinates of one site each, by
    Gauss-Legendre quadrature: to rounding the same where the density is smooth, close where it
    has a kink, and apart by the jumps where automatic differentiation does not see them.

    Args:
        density: The log density.
        gaussian: Where to look.
        rng: Source of randomness.

    Returns:
        What was found, None where nothing was.

    Example:
        >>> from ppl_ext.density import Site
        >>> def log_density(z):  # a normal density, and steps of 0.5 that no gradient shows
        ...     return -0.5 * (z**2).sum(1) + 0.5 * np.floor(4 * z[:, 0]), -z
        >>> stepped = Density(
        ...     dim=1,
        ...     sites=(Site("x", (1,), 0, 1),),
        ...     log_density=log_density,
        ...     log_p=lambda z: log_density(z)[0],
        ...     constrain=lambda z: {"x": z},
        ...     explain=lambda z: "",
        ... )
        >>> normal, rng = Gaussian(np.zeros(1), np.ones(1)), np.random.default_rng(0)
        >>> found = find_jumps(stepped, normal, rng)
        >>> found.sites, round(found.size, 3)
        (('x',), 0.5)
    """
    sites = density.sites
    # Every site in turn; of more sites than segments some, chosen at random.
    order = rng.permutation(len(sites))
    chosen = np.array([order[i % len(sites)] for i in range(_SEGMENTS)])
    start = gaussian.push(rng.standard_normal((_SEGMENTS, density.dim)))
    move = np.zeros_like(start)
    for row, index in enumerate(chosen):
        part = slice(sites[index].start, sites[index].stop)
        direction = rng.standard_normal(sites[index].size)
        move[row, part] = _LENGTH * gaussian.sd[part] * direction / np.linalg.norm(direction)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    places = np.concatenate([[0.0], (nodes + 1) / 2, [1.0]])
    points = (start + places[:, None, None] * move).astype(density.dtype).astype(float)
    near = (points[0] + _NEAR[:, None, None] * move).astype(density.dtype).astype(float)
    with np.errstate(all="ignore"):
        log_p, gradient = density.log_density(points.reshape(-1, density.dim))
        log_p = log_p.reshape(len(places), _SEGMENTS)
        slopes = (gradient.reshape(points.shape)[1:-1] * move).sum(2)
        missed = np.abs(log_p[-1] - log_p[0] - weights @ slopes / 2)
        rounding = _ROUNDING * np.finfo(density.dtype).eps * np.abs(log_p).max(0)
        jumping = np.isfinite(missed) & (missed > _STEP + rounding)
        beside = density.log_density(near.reshape(-1, density.dim))[0].reshape(len(near), -1)
        told = (gradient.reshape(points.shape)[0] * (near - points[0])).sum(2)
        rough = (np.abs(beside - log_p[0] - told) > _STEP + rounding).any(0)
    if jumping.sum() < _FEWEST:
        return None
    # In double precision it is the model that is rough.
    precision = "" if density.dtype == np.float64 else str(np.dtype(density.dtype))
    found = [index for index in range(len(sites)) if jumping[chosen == index].any()]
    return Jumps(
        sites=tuple(sites[index].name for index in found),
        size=float(np.median(missed[jumping])),
        share=float(jumping[np.isin(chosen, found)].mean()),
        precision=precision if rough[jumping].mean() > 0.5 else "",
    )
