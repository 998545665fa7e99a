"""Guides that draw all sites together, from one distribution over a flat vector."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.util import sum_rightmost

from ppl_ext.numpyro.guides.flat import AbstractFlatGuide
from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.refusals import refuse_local

__all__ = ["AbstractJointGuide"]


class AbstractJointGuide(AbstractFlatGuide):
    """One distribution over all coordinates, with a mean and a Cholesky factor among its parts."""

    @abstractmethod
    def _posterior(self, loc: jax.Array, scale_tril: jax.Array) -> dist.Distribution:
        """The distribution of the coordinates, inside the program of the guide."""

    def _refuse(self, bound: BoundModel) -> None:
        refuse_local(bound, type(self).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, jax.Array]:
        """Draw every latent site once."""
        if not self.sites:
            self._setup_prototype(*args, **kwargs)
        start = self._starter(args, kwargs)

        def start_loc(rng_key):
            return jnp.concatenate([jnp.ravel(value) for value in start(rng_key).values()])

        loc = numpyro.param(f"{self.prefix}_loc", start_loc)
        scale_tril = numpyro.param(
            f"{self.prefix}_scale_tril",
            self.init_scale * jnp.eye(self.dim),
            constraint=constraints.scaled_unit_lower_cholesky,
        )
        posterior = self._posterior(loc, scale_tril)
        z = numpyro.sample(f"_{self.prefix}_latent", posterior, infer={"is_auxiliary": True})
        plates = self._create_plates(*args, **kwargs)
        values: dict[str, jax.Array] = {}
        for site in self.sites:
            coordinates = z[site.start : site.stop].reshape(site.shape)
            transform = self._transform(site, values, plates, (args, kwargs))
            value = transform(coordinates)
            log_density = -transform.log_abs_det_jacobian(coordinates, value)
            batch_ndim = jnp.ndim(value) - site.latent.event_dim
            log_density = sum_rightmost(log_density, jnp.ndim(log_density) - batch_ndim)
            # Inside its plates, or the host's TraceEnum_ELBO cannot tell the dimensions apart.
            with ExitStack() as stack:
                for plate in site.latent.plates:
                    stack.enter_context(plates[plate.name])
                delta = dist.Delta(value, log_density, event_dim=site.latent.event_dim)
                values[site.name] = numpyro.sample(site.name, delta)
        return values

    def gaussian(self, params: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Read mean and scale on unconstrained space, in the order of `trace_density`.

        Args:
            params: Parameters of the guide.

        Returns:
            loc[dim] and the Cholesky factor scale_tril[dim, dim].
        """
        return params[f"{self.prefix}_loc"], params[f"{self.prefix}_scale_tril"]

    def set_gaussian(self, loc: Any, scale: Any) -> dict[str, jax.Array]:
        """Put mean and scale, in the order of `trace_density`, into parameters of the guide.

        Args:
            loc: Mean, ``[dim]``.
            scale: Lower Cholesky factor of the covariance, ``[dim, dim]``.

        Returns:
            Parameters of the guide.
        """
        loc = self._check_shape("loc", loc, (self.dim,))
        scale_tril = self._check_shape("scale", scale, (self.dim, self.dim))
        return {
            f"{self.prefix}_loc": jnp.asarray(loc),
            f"{self.prefix}_scale_tril": jnp.asarray(scale_tril),
        }
