"""Increasing maps of single coordinates, from raw numbers that a network gives."""

from abc import abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ppl_ext.numpyro.flows.spline import bend, count_parameters, unbend

__all__ = ["AbstractElementwise", "Affine", "Spline"]

_MOST = 1.5  # nats by which one layer can stretch

_Pair = tuple[jax.Array, jax.Array]


class AbstractElementwise:
    """An increasing map of numbers; raw zeros make the identity."""

    @property
    @abstractmethod
    def num_parameters(self) -> int:
        """Raw numbers for one coordinate."""

    @abstractmethod
    def push(self, e: jax.Array, raw: jax.Array) -> _Pair:
        """Images of ``e[...]`` with ``raw[..., num_parameters]``, and log slopes ``[...]``."""

    @abstractmethod
    def pull(self, x: jax.Array, raw: jax.Array) -> _Pair:
        """Origins of ``x[...]``, and log slopes of ``pull`` there."""


@dataclass(frozen=True)
class Affine(AbstractElementwise):
    """Stretch and shift."""

    @property
    def num_parameters(self) -> int:
        """Raw numbers for one coordinate."""
        return 2

    def push(self, e: jax.Array, raw: jax.Array) -> _Pair:
        """Images and log slopes."""
        log_scale = _bounded(raw[..., 0])
        return e * jnp.exp(log_scale) + raw[..., 1], log_scale

    def pull(self, x: jax.Array, raw: jax.Array) -> _Pair:
        """Origins and their log slopes."""
        log_scale = _bounded(raw[..., 0])
        return (x - raw[..., 1]) * jnp.exp(-log_scale), -log_scale


@dataclass(frozen=True)
class Spline(AbstractElementwise):
    """Bend within an interval, then stretch and shift.

    The interval is that of the noise, where it is known how few points lie outside. Densities go
    through the spline itself and draws through its inverse, which is the less exact of the two.

    Args:
        num_bins: Bins of the spline.
        bound: End of the interval.
    """

    num_bins: int
    bound: float

    @property
    def num_parameters(self) -> int:
        """Raw numbers for one coordinate."""
        return 2 + count_parameters(self.num_bins)

    def push(self, e: jax.Array, raw: jax.Array) -> _Pair:
        """Images and log slopes."""
        bent, log_slope = unbend(e, raw[..., 2:], self.bound)
        x, log_scale = Affine().push(bent, raw)
        return x, log_slope + log_scale

    def pull(self, x: jax.Array, raw: jax.Array) -> _Pair:
        """Origins and their log slopes."""
        bent, log_scale = Affine().pull(x, raw)
        e, log_slope = bend(bent, raw[..., 2:], self.bound)
        return e, log_slope + log_scale


def _bounded(raw: jax.Array) -> jax.Array:
    return _MOST * jnp.tanh(raw / _MOST)
