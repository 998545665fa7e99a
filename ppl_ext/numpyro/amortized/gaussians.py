"""Gaussians of rows: their parameters from what an encoder gives."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import ndtri

__all__ = ["Change", "Gaussian", "make_tril", "read_encoded"]

Change = Mapping[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Gaussian:
    """A Gaussian, or one for each row.

    Args:
        loc: Means, ``[..., dim]``.
        scale: Standard deviations ``[..., dim]``, or Cholesky factors ``[..., dim, dim]``.
    """

    loc: jax.Array
    scale: jax.Array

    @property
    def mean_field(self) -> bool:
        """Whether the coordinates are independent."""
        return self.scale.ndim == self.loc.ndim

    @property
    def distribution(self) -> dist.Distribution:
        """As the host writes it, ``dim`` an event dimension."""
        if self.mean_field:
            return dist.Normal(self.loc, self.scale).to_event(1)
        # Triangular as it is made, which the host would look at in many small programs.
        return dist.MultivariateNormal(self.loc, scale_tril=self.scale, validate_args=False)

    def beside(self, ndim: int) -> "Gaussian":
        """The same with so many dimensions of length 1 between the rows and their values."""
        rows, ones = self.loc.shape[:-1], (1,) * ndim
        scale = self.scale.reshape(*rows, *ones, *self.scale.shape[len(rows) :])
        return Gaussian(self.loc.reshape(*rows, *ones, -1), scale)

    def push(self, e: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Draws ``[..., dim]`` from standard normal noise, and their log densities."""
        log_e = -0.5 * (e**2).sum(-1) - 0.5 * e.shape[-1] * math.log(2 * math.pi)
        return self.stretch(e), log_e - self.log_volume

    @property
    def log_volume(self) -> jax.Array:
        """Log determinant of the map from the noise."""
        diagonal = self.scale if self.mean_field else jnp.diagonal(self.scale, axis1=-2, axis2=-1)
        return jnp.log(diagonal).sum(-1)

    def log_prob(self, z: jax.Array) -> jax.Array:
        """Log densities of ``z[..., dim]``."""
        return self.distribution.log_prob(z)

    def start_change(self) -> dict[str, jax.Array]:
        """The change that leaves everything as it is, for `moved`."""
        change = {"loc": jnp.zeros_like(self.loc), "log_scale": jnp.zeros_like(self.loc)}
        dim = self.loc.shape[-1]
        if not self.mean_field and dim > 1:
            change["below"] = jnp.zeros((*self.loc.shape[:-1], dim * (dim - 1) // 2))
        return change

    def moved(self, change: Change) -> "Gaussian":
        """Another one, its change told in this one's own coordinates and scales."""
        loc = self.stretch(change["loc"])
        scale = jnp.exp(change["log_scale"])
        if self.mean_field:
            return Gaussian(loc, self.scale * scale)
        below = change.get("below", jnp.zeros((*loc.shape[:-1], 0)))
        return Gaussian(loc, self.scale @ make_tril(scale, below))

    def stretch(self, x: jax.Array) -> jax.Array:
        """Where points ``x[..., dim]`` of the standard normal distribution come to lie."""
        if self.mean_field:
            return self.loc + self.scale * x
        return self.loc + (self.scale @ x[..., None])[..., 0]

    def shrink(self, z: jax.Array) -> jax.Array:
        """The way back of `stretch`."""
        away = z - self.loc
        if self.mean_field:
            return away / self.scale
        scale = jnp.broadcast_to(self.scale, (*away.shape, away.shape[-1]))
        return jax.scipy.linalg.solve_triangular(scale, away[..., None], lower=True)[..., 0]

    def find_quantiles(self, probability: jax.Array) -> jax.Array:
        """Quantiles of the coordinates, ``[quantile, ..., dim]``.

        Args:
            probability: ``[quantile]``.
        """
        standard = ndtri(probability).reshape(-1, *(1,) * self.loc.ndim)
        deviations = self.scale if self.mean_field else jnp.sqrt((self.scale**2).sum(-1))
        return self.loc + standard * deviations


def read_encoded(encoded: jax.Array, dim: int, family: str) -> Gaussian:
    """The Gaussians of rows.

    Args:
        encoded: What the encoder gave, ``[row, output]``.
        dim: Coordinates of a row.
        family: ``"mean_field"`` or ``"full_rank"``.
    """
    loc, raw, below = jnp.split(encoded, (dim, 2 * dim), -1)
    # Not nothing, or one step too far ends a run.
    scale = jax.nn.softplus(raw) + jnp.finfo(raw.dtype).tiny
    return Gaussian(loc, scale if family == "mean_field" else make_tril(scale, below))


def make_tril(diagonal: jax.Array, below: jax.Array) -> jax.Array:
    """Lower triangular matrices, their entries below the diagonal row by row."""
    dim = diagonal.shape[-1]
    row, column = jnp.tril_indices(dim, -1)
    tril = jnp.zeros((*diagonal.shape, dim), diagonal.dtype).at[..., row, column].set(below)
    return tril + diagonal[..., None] * jnp.eye(dim)
