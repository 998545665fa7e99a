"""Latent values as unconstrained coordinates in a row, and back."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import (
    ComposeTransform,
    IndependentTransform,
    SigmoidTransform,
)
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

        @jax.jit
        def look(rng_key, arrays):
            model = handlers.uncondition(handlers.seed(bound.call.run, rng_key))
            with handlers.block():
                trace = handlers.trace(model).get_trace(arrays)
            return {latent.name: trace[latent.name]["fn"].support for latent in latents}

        with x64_scope(bound.x64):
            one, other = (look(jax.random.key(seed), bound.arrays) for seed in (0, 1))
        transforms = {}
        for latent in latents:
            supports = one[latent.name], other[latent.name]
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

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the sites' values."""
        return {site.name: site.latent.shape for site in self.sites}

    @property
    def marks(self) -> dict[str, np.ndarray]:
        """Values at coordinates from -1 to 1, by which the supports are known again."""
        return self.push(np.linspace(-1.0, 1.0, self.dim)[None])

    @property
    def bounded(self) -> np.ndarray:
        """Which coordinates are logits of values between two bounds, ``[dim]``."""
        found = [_begins_with_sigmoid(self.transforms[site.name]) for site in self.sites]
        return np.repeat(found, [site.stop - site.start for site in self.sites])

    def pull(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Coordinates ``[draw, dim]`` of values ``{site: array[draw, ...]}``."""
        return np.asarray(self._pull({site.name: values[site.name] for site in self.sites}))

    def push(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Values ``{site: array[draw, ...]}`` of coordinates ``[draw, dim]``."""
        values = self._push(z)
        return {site.name: np.asarray(values[site.name]) for site in self.sites}

    def log_jacobian(self, z: np.ndarray) -> np.ndarray:
        """Log determinant of `push`, ``[draw]``."""
        return sum(np.asarray(part, float) for part in self._log_jacobian(z))

    # In one program each: alone, every operation of every bijection would be compiled.

    @functools.cached_property
    def _pull(self) -> Callable[..., jax.Array]:
        def pull(values):
            parts = [self.transforms[site.name].inv(values[site.name]) for site in self.sites]
            return jnp.concatenate([part.reshape(len(part), -1) for part in parts], 1)

        return jax.jit(pull)

    @functools.cached_property
    def _push(self) -> Callable[..., dict[str, jax.Array]]:
        def push(z):
            return {site.name: self.transforms[site.name](_cut(site, z)) for site in self.sites}

        return jax.jit(push)

    @functools.cached_property
    def _log_jacobian(self) -> Callable[..., list[jax.Array]]:
        def log_jacobian(z):
            parts = []
            for site in self.sites:
                x, transform = _cut(site, z), self.transforms[site.name]
                log_det = transform.log_abs_det_jacobian(x, transform(x))
                parts.append(sum_rightmost(log_det, jnp.ndim(log_det) - 1))
            return parts

        return jax.jit(log_jacobian)


def _cut(site: GuideSite, z: jax.Array) -> jax.Array:
    return z[:, site.start : site.stop].reshape(-1, *site.shape)


def _begins_with_sigmoid(transform: Any) -> bool:
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    # The identity of a host may be a composition of nothing.
    parts = transform.parts if isinstance(transform, ComposeTransform) else [transform]
    return isinstance(next(iter(parts), None), SigmoidTransform)
