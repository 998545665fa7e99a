"""The log density of a model whose marked discrete sites are summed out."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.primitives import Messenger

from ppl_ext.numpyro.tracing.arguments import find_invalid_arguments, refuse_invalid
from ppl_ext.numpyro.tracing.enumeration.marks import is_enumerated
from ppl_ext.numpyro.tracing.sites import Sites

__all__ = ["first_free_dim", "sum_out"]

Loose = Mapping[str, tuple[int, ...]]
Trace = Mapping[str, dict[str, Any]]


def sum_out(
    model: Callable[[], Any],
    sites: Sites,
    shifts: Mapping[str, jax.Array] | None = None,
) -> tuple[jax.Array, Trace]:
    """Score a model, its enumerated sites summed out by the host.

    Args:
        model: The model without arguments, seeded, its other latent sites set.
        sites: What it is made of.
        shifts: What to add to the log factors of enumerated sites: the gradient by it is the
            probability of their values given the data.

    Returns:
        The log density of data and latent sites, and the host's trace, in which an enumerated
        site has all of its values along a dimension of its own.
    """
    from numpyro.contrib.funsor import enum
    from numpyro.contrib.funsor.infer_util import log_density

    loose = {name: batch for name, batch, _ in sites.loose}
    enumerated = enum(model, first_available_dim=first_free_dim(sites))
    with handlers.block(), _Factors(loose, shifts or {}):
        log_p, trace = log_density(enumerated, (), {}, {})
    return jnp.reshape(log_p, ()), trace


def first_free_dim(sites: Sites) -> int:
    """The first dimension, counted from the right, that no site or plate of the model takes."""
    return min([-sites.batch_ndim, *(plate.dim for plate in sites.plates)]) - 1


class _Factors(Messenger):
    """Puts in the place of distributions what the host's sum takes for a factor.

    Batch dimensions outside of plates make one event, the factors of enumerated sites integrate to
    one where they are masked, and are shifted. Arguments out of bounds have the density zero.
    """

    def __init__(self, loose: Loose, shifts: Mapping[str, jax.Array]) -> None:
        super().__init__()
        self.loose, self.shifts = loose, shifts

    def process_message(self, msg: dict[str, Any]) -> None:
        """Put a factor in the place of a distribution."""
        if msg["type"] != "sample":
            return
        fn, enumerated = msg["fn"], is_enumerated(msg)
        if enumerated and isinstance(fn, dist.MaskedDistribution):
            size = len(fn.enumerate_support(expand=False))
            fn = _UniformWhereMasked(_confine(fn.base_dist), fn._mask, size)
        else:
            fn = _confine(fn)
        if msg["name"] in self.loose:
            fn = _AsOneEvent(fn, self.loose[msg["name"]])
        if enumerated and msg["name"] in self.shifts:
            fn = _Shifted(fn, self.shifts[msg["name"]])
        msg["fn"] = fn


def _confine(fn: dist.Distribution) -> dist.Distribution:
    return _Confined(fn) if find_invalid_arguments(fn) else fn


class _Factor(dist.Distribution):
    """A factor that is made of a distribution; it is only scored."""

    def __init__(self, base_dist: dist.Distribution) -> None:
        self.base_dist = base_dist
        super().__init__(base_dist.batch_shape, base_dist.event_shape)

    @property
    def support(self) -> Any:
        return self.base_dist.support

    @property
    def has_enumerate_support(self) -> bool:
        return True


class _Confined(_Factor):
    """Zero density where an argument is outside of its bounds."""

    def log_prob(self, value: jax.Array, intermediates: Any = None) -> jax.Array:
        given = (intermediates,) if intermediates else ()
        return refuse_invalid(self.base_dist, self.base_dist.log_prob(value, *given))


class _UniformWhereMasked(_Factor):
    """Uniform where it is masked.

    The host has a factor of one for each value there, and counts a masked row as often as the
    site has values.
    """

    def __init__(self, base_dist: dist.Distribution, mask: Any, size: int) -> None:
        super().__init__(base_dist)
        self.mask, self.size = mask, size

    def log_prob(self, value: jax.Array) -> jax.Array:
        return jnp.where(self.mask, self.base_dist.log_prob(value), -jnp.log(float(self.size)))


class _AsOneEvent(_Factor):
    """Batch dimensions that make one event, those of enumerated sites left where they are."""

    def __init__(self, base_dist: dist.Distribution, batch: tuple[int, ...]) -> None:
        super().__init__(base_dist)
        self.batch = batch
        self._batch_shape = (*base_dist.batch_shape[: -len(batch)], *[1] * len(batch))
        self._event_shape = (*batch, *base_dist.event_shape)

    def log_prob(self, value: jax.Array, intermediates: Any = None) -> jax.Array:
        given = (intermediates,) if intermediates else ()
        log_prob = self.base_dist.log_prob(value, *given)
        # The value may be one number for more data than its distribution has.
        whole = jnp.broadcast_shapes(jnp.shape(log_prob), self.batch)
        axes = tuple(range(-len(self.batch), 0))
        return jnp.sum(jnp.broadcast_to(log_prob, whole), axis=axes, keepdims=True)


class _Shifted(_Factor):
    def __init__(self, base_dist: dist.Distribution, shift: jax.Array) -> None:
        super().__init__(base_dist)
        self.shift = shift

    def log_prob(self, value: jax.Array) -> jax.Array:
        return self.base_dist.log_prob(value) + self.shift
