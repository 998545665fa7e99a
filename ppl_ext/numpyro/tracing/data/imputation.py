"""Missing data that are imputed: what the host makes of ``obs_mask``, with a density."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import biject_to
from numpyro.distributions.util import sum_rightmost
from numpyro.primitives import Messenger

__all__ = ["Imputes"]


class Imputes(Messenger):
    """Gives the latent sites that ``obs_mask`` makes a density where there are data.

    The host makes them of full size and flat there, so that a bound grows without end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._observed: set[str] = set()

    def process_message(self, msg: dict[str, Any]) -> None:
        """Put `_MissingOnly` in the place of the host's masked distribution."""
        if msg["type"] != "sample" or not isinstance(msg["fn"], dist.MaskedDistribution):
            return
        if msg["is_observed"]:
            self._observed.add(msg["name"].removesuffix("_observed"))
        elif msg["name"].removesuffix("_unobserved") in self._observed:
            fn = msg["fn"]
            if not fn.support.is_discrete:
                msg["fn"] = _MissingOnly(fn.base_dist, jnp.broadcast_to(fn._mask, fn.batch_shape))


class _MissingOnly(dist.Distribution):
    """A distribution that counts where data are missing, and is standard normal elsewhere.

    Elsewhere nothing hangs on the value, on unconstrained space, so that it integrates to one and
    a Gaussian guide follows it exactly.
    """

    pytree_data_fields = ("base_dist", "missing")

    def __init__(self, base_dist: dist.Distribution, missing: jax.Array) -> None:
        self.base_dist, self.missing = base_dist, missing
        super().__init__(base_dist.batch_shape, base_dist.event_shape)

    @property
    def support(self) -> Any:
        return self.base_dist.support

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        return self.base_dist.sample(key, sample_shape)

    def log_prob(self, value: jax.Array) -> jax.Array:
        transform = biject_to(self.base_dist.support)
        z = transform.inv(value)
        normal = dist.Normal().log_prob(z)
        normal = sum_rightmost(normal, normal.ndim - len(self.batch_shape))
        jacobian = transform.log_abs_det_jacobian(z, value)
        jacobian = sum_rightmost(jacobian, jnp.ndim(jacobian) - len(self.batch_shape))
        return jnp.where(self.missing, self.base_dist.log_prob(value), normal - jacobian)
