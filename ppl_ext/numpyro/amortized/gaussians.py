"""Gaussians of rows: their parameters from what an encoder gives."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

__all__ = ["Gaussian", "read_encoded"]


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
    def independent(self) -> bool:
        """Whether the coordinates are."""
        return self.scale.ndim == self.loc.ndim

    @property
    def distribution(self) -> dist.Distribution:
        """As the host writes it, ``dim`` an event dimension."""
        if self.independent:
            return dist.Normal(self.loc, self.scale).to_event(1)
        return dist.MultivariateNormal(self.loc, scale_tril=self.scale)

    def beside(self, ndim: int) -> "Gaussian":
        """The same with so many dimensions of length 1 between the rows and their values."""
        rows, ones = self.loc.shape[:-1], (1,) * ndim
        scale = self.scale.reshape(*rows, *ones, *self.scale.shape[len(rows) :])
        return Gaussian(self.loc.reshape(*rows, *ones, -1), scale)


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
    if family == "mean_field":
        return Gaussian(loc, scale)
    row, column = jnp.tril_indices(dim, -1)
    tril = jnp.zeros((*loc.shape, dim)).at[..., row, column].set(below)
    return Gaussian(loc, tril + scale[..., None] * jnp.eye(dim))
