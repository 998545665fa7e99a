"""Latent values as unconstrained coordinates in a row, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.distributions.util import sum_rightmost

from ppl_ext.numpyro.guides.coordinates import GuideSite, lay_out
from ppl_ext.numpyro.tracing.bound_model import BoundModel, x64_scope

__all__ = ["Coordinates"]


class Coordinates:
    """The bijections of some latent sites, one after the other.

    Args:
        sites: The sites.
        transforms: Their bijections.
    """

    def __init__(self, sites: Sequence[GuideSite], transforms: Mapping[str, Any]) -> None:
        self.sites, self.transforms = tuple(sites), dict(transforms)

    @classmethod
    def read(cls, bound: BoundModel, names: Sequence[str]) -> "Coordinates":
        """Read the bijections off two runs of a model.

        Args:
            bound: The model.
            names: The sites of interest.

        Raises:
            ValueError: The support of a site hangs on other values.
        """
        latents = [site for site in bound.sites.latents if site.name in names]
        # Run as it is and not traced, a model shows what its supports are, in numbers.
        with x64_scope(bound.x64), handlers.block():
            one, other = (
                handlers.trace(
                    handlers.uncondition(handlers.seed(bound.call.run, seed))
                ).get_trace(bound.arrays)
                for seed in (0, 1)
            )
        transforms = {}
        for latent in latents:
            supports = one[latent.name]["fn"].support, other[latent.name]["fn"].support
            if not all(map(np.array_equal, *map(jax.tree.leaves, supports))):
                raise ValueError(
                    f"{bound.caller}: the support of site '{latent.name}' ({latent.distribution}) "
                    "hangs on the values of others; expected the same for all of them. Write it "
                    "in units of what it hangs on, or leave it out: latent=[...]."
                )
            transforms[latent.name] = biject_to(supports[0])
        return cls(lay_out(latents), transforms)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.sites[-1].stop

    def pull(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Coordinates ``[draw, dim]`` of values ``{site: array[draw, ...]}``."""
        parts = []
        for site in self.sites:
            z = self.transforms[site.name].inv(jnp.asarray(values[site.name]))
            parts.append(np.asarray(z).reshape(len(z), -1))
        return np.concatenate(parts, 1)

    def push(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Values ``{site: array[draw, ...]}`` of coordinates ``[draw, dim]``."""
        return {
            site.name: np.asarray(self.transforms[site.name](self._cut(site, z)))
            for site in self.sites
        }

    def log_jacobian(self, z: np.ndarray) -> np.ndarray:
        """Log determinant of `push`, ``[draw]``."""
        total = np.zeros(len(z))
        for site in self.sites:
            x, transform = self._cut(site, z), self.transforms[site.name]
            log_det = transform.log_abs_det_jacobian(x, transform(x))
            total += np.asarray(sum_rightmost(log_det, jnp.ndim(log_det) - 1), float)
        return total

    def _cut(self, site: GuideSite, z: np.ndarray):
        return jnp.asarray(z[:, site.start : site.stop]).reshape(-1, *site.shape)
