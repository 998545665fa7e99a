"""Location-scale sites in coordinates between centred and non-centred.

The hosts' ``LocScaleReparam`` puts an auxiliary site in the place of the user's. The same change
of variables stands here in the bijection of the site's support, so that the site, its plates and
its values stay what they are, and whoever asks ``biject_to`` follows.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.transforms import AffineTransform, ComposeTransform, Transform
from numpyro.primitives import Messenger

from ppl_ext.gaussian_vi.location_scale import PartialCentering
from ppl_ext.numpyro.tracing.find_sites import without_wrappers

__all__ = ["Centering", "location_and_scale"]


class Centering(Messenger):
    r"""A model whose location-scale sites have other unconstrained coordinates.

    .. math:: x = l + (s / u)^{1 - \lambda} (z - \lambda l)

    for a site with location :math:`l` and scale :math:`s`: as it is written at
    :math:`\lambda = 1`, non-centred at 0. For ``LogNormal`` the same holds of :math:`\log x`.

    Args:
        fn: The model; None for use as a context.
        sites: Degree :math:`\lambda` in [0, 1] and unit :math:`u`, one for every entry of a site.

    References:
        Gorinova, Moore, Hoffman (2020), Automatic reparameterisation of probabilistic programs,
        ICML.
    """

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        sites: Mapping[str, PartialCentering] | None = None,
    ) -> None:
        super().__init__(fn)
        self.sites = dict(sites or {})

    def process_message(self, msg: dict[str, Any]) -> None:
        """Put the distribution with the other bijection in the place of the site's."""
        if msg["type"] != "sample" or msg["is_observed"] or msg["value"] is not None:
            return
        if msg["name"] in self.sites:
            msg["fn"] = _Centred(msg["fn"], self.sites[msg["name"]])


def location_and_scale(fn: dist.Distribution) -> tuple[jax.Array, jax.Array] | None:
    """Location and scale of every entry of a value, None where the distribution has none.

    Args:
        fn: Distribution of a site, as its plates expand it.

    Returns:
        Two arrays of the shape of a value; those of the logarithm for ``LogNormal``.
    """
    base = without_wrappers(fn)
    arguments = base.arg_constraints
    if base.event_dim or "loc" not in arguments or "scale" not in arguments:
        return None
    if not isinstance(base, dist.LogNormal) and base.support is not constraints.real:
        return None
    return tuple(jnp.broadcast_to(part, fn.shape()) for part in (base.loc, base.scale))


class _Centred(dist.Independent):
    """A location-scale distribution whose support knows the other coordinates."""

    pytree_data_fields = ("offset", "ratio")

    def __init__(self, fn: dist.Distribution, centering: PartialCentering) -> None:
        super().__init__(fn, 0)
        loc, scale = location_and_scale(fn)
        degree, unit = (jnp.reshape(part, fn.shape()) for part in centering)
        self.ratio = jnp.exp((1 - degree) * jnp.log(scale / unit))
        self.offset = loc * (1 - degree * self.ratio)

    @property
    def support(self) -> constraints.Constraint:
        inner = without_wrappers(self.base_dist).support
        return constraints.independent(_Shifted(self.offset, self.ratio, inner), self.event_dim)


class _Shifted(constraints.Constraint):
    """The same set, with a shift and a ratio ahead of its bijection."""

    def __init__(self, offset: Any, ratio: Any, inner: constraints.Constraint) -> None:
        self.offset, self.ratio, self.inner = offset, ratio, inner

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.inner(x)

    def feasible_like(self, prototype: jax.Array) -> jax.Array:
        return self.inner.feasible_like(prototype)

    def tree_flatten(self) -> tuple[Any, ...]:
        return (self.offset, self.ratio, self.inner), (("offset", "ratio", "inner"), {})


@biject_to.register(_Shifted)
def _transform_to_shifted(constraint: _Shifted) -> Transform:
    shift = AffineTransform(constraint.offset, constraint.ratio)
    if constraint.inner is constraints.real:
        return shift
    return ComposeTransform([shift, biject_to(constraint.inner)])
