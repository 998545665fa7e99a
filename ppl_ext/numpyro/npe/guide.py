"""A trained network as a guide of the host, for one observation."""

from contextlib import ExitStack
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions.transforms import LowerCholeskyAffine
from numpyro.distributions.util import sum_rightmost, validate_sample

from ppl_ext.numpyro.npe.coordinates import Coordinates
from ppl_ext.numpyro.npe.network import Network
from ppl_ext.numpyro.npe.soft_clip import Unclip
from ppl_ext.numpyro.npe.trained import Trained

__all__ = ["AveragedMembers", "sample_sites"]


class AveragedMembers(dist.Distribution):
    """The average of the densities of all members, given one observation.

    Args:
        network: The network.
        weights: Of all members, ``[member, ...]``.
        f: Features of the observation, ``[width]``.
        validate_args: Whether values are checked; by default as in the host.
    """

    arg_constraints = {}  # noqa: RUF012
    support = dist.constraints.real_vector
    reparametrized_params = ()
    pytree_data_fields = ("weights", "f")
    pytree_aux_fields = ("network",)

    def __init__(
        self, network: Network, weights: Any, f: jax.Array, validate_args: bool | None = None
    ) -> None:
        self.network, self.weights, self.f = network, weights, jnp.asarray(f)
        super().__init__((), (network.density.dim,), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        """Draw from a member at random, with gradients to its weights."""
        member_key, draw_key = jax.random.split(key)
        each = jax.vmap(
            lambda weights: self.network.given(weights, self.f).sample(draw_key, sample_shape)
        )(self.weights)
        chosen = jax.random.randint(member_key, sample_shape, 0, len(each))
        return jnp.take_along_axis(each, chosen[None, ..., None], 0)[0]

    @validate_sample
    def log_prob(self, value):
        """Log density of values ``[..., dim]``."""
        each = jax.vmap(lambda weights: self.network.given(weights, self.f).log_prob(value))(
            self.weights
        )
        return jax.nn.logsumexp(each, 0) - jnp.log(len(each))


def sample_sites(
    trained: Trained, where: Coordinates, f: np.ndarray, prefix: str
) -> dict[str, jax.Array]:
    """Draw every site of interest once, inside of the host.

    Args:
        trained: The network, whose weights become the parameter ``{prefix}_weights``.
        where: The sites of interest.
        f: Features of the observation, ``[1, width]``.
        prefix: First part of the names of parameter and auxiliary site.
    """
    weights = numpyro.param(f"{prefix}_weights", trained.answering)
    location = trained.frame.locate(f, trained.features.layout)[0]
    members = AveragedMembers(trained.network, weights, f[0])
    unclip = Unclip(jnp.asarray(trained.frame.clip.softness))
    affine = LowerCholeskyAffine(jnp.asarray(location), jnp.asarray(trained.frame.scale_tril))
    z = numpyro.sample(
        f"_{prefix}_latent",
        dist.TransformedDistribution(members, [affine, unclip]),
        infer={"is_auxiliary": True},
    )
    values, plates = {}, {}
    for site in where.sites:
        transform, latent = where.transforms[site.name], site.latent
        coordinates = z[site.start : site.stop].reshape(site.shape)
        value = transform(coordinates)
        log_density = -transform.log_abs_det_jacobian(coordinates, value)
        batch_ndim = jnp.ndim(value) - latent.event_dim
        log_density = sum_rightmost(log_density, jnp.ndim(log_density) - batch_ndim)
        with ExitStack() as stack:
            for plate in latent.plates:
                known = numpyro.plate(plate.name, plate.size, dim=plate.dim)
                stack.enter_context(plates.setdefault(plate.name, known))
            delta = dist.Delta(value, log_density, event_dim=latent.event_dim)
            values[site.name] = numpyro.sample(site.name, delta)
    return values
