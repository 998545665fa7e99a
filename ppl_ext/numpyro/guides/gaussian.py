"""What the mean-field and the full-rank Gaussian guide share."""

from abc import abstractmethod
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from ppl_ext.numpyro.guides.flat import AbstractFlatGuide

__all__ = ["AbstractGaussianGuide"]


class AbstractGaussianGuide(AbstractFlatGuide):
    """A Gaussian on the unconstrained space of a model."""

    @abstractmethod
    def _marginal_scale(self, params: Mapping[str, jax.Array]) -> jax.Array:
        """Standard deviation of every coordinate, ``[dim]``."""

    def _flat_quantiles(
        self, params: Mapping[str, jax.Array], probability: jax.Array
    ) -> jax.Array:
        marginal = dist.Normal(self.gaussian(params)[0], self._marginal_scale(params))
        return marginal.icdf(probability[:, None])

    def _push(self, params: Mapping[str, jax.Array], noise: np.ndarray) -> jax.Array:
        loc, scale = self.gaussian(params)
        noise = jnp.asarray(noise, loc.dtype)
        return loc + (noise * scale if scale.ndim == 1 else noise @ scale.T)
