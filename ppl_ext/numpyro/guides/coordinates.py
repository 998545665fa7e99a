"""How the latent sites of a model lie in the coordinates of a guide."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
from numpyro.distributions.util import periodic_repeat

from ppl_ext.numpyro.tracing.sites import Latent

__all__ = ["GuideSite", "lay_out", "spread_start"]


@dataclass(frozen=True)
class GuideSite:
    """A latent site as a guide holds it: plates at their full size, coordinates in a row.

    Args:
        latent: The site of the model.
        shape: Unconstrained shape with every plate at its full size.
        event_dim: Number of event dimensions on unconstrained space.
        start: First coordinate of the site.
        stop: One past its last coordinate.
    """

    latent: Latent
    shape: tuple[int, ...]
    event_dim: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The name in the model's ``sample`` statement."""
        return self.latent.name


def lay_out(latents: Sequence[Latent]) -> tuple[GuideSite, ...]:
    """The sites one after the other, their subsampled plates at full size."""
    sites: list[GuideSite] = []
    for latent in latents:
        event_dim = latent.event_dim + len(latent.unconstrained_shape) - len(latent.shape)
        shape = list(latent.unconstrained_shape)
        for plate in latent.plates:
            shape[plate.dim - event_dim] = plate.size
        start = sites[-1].stop if sites else 0
        stop = start + math.prod(shape)
        sites.append(GuideSite(latent, tuple(shape), event_dim, start, stop))
    return tuple(sites)


def spread_start(sites: Sequence[GuideSite], z: jax.Array) -> dict[str, jax.Array]:
    """Cut a point ``z[dim]`` of a minibatch into sites; its rows start the whole of a plate."""
    start, values = 0, {}
    for site in sites:
        shape = site.latent.unconstrained_shape
        stop = start + math.prod(shape)
        value = z[start:stop].reshape(shape)
        for axis, size in enumerate(site.shape):
            if size != shape[axis]:
                value = periodic_repeat(value, size, axis)
        values[site.name], start = value, stop
    return values
