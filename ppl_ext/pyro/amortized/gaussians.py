"""Gaussians of rows: their parameters from what an encoder gives."""

from dataclasses import dataclass

import pyro.distributions as dist
import torch
from torch.nn import functional

__all__ = ["Gaussian", "read_encoded"]


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian, or one for each row.

    Args:
        loc: Means, ``[..., dim]``.
        scale: Standard deviations ``[..., dim]``, or Cholesky factors ``[..., dim, dim]``.
    """

    loc: torch.Tensor
    scale: torch.Tensor

    @property
    def independent(self) -> bool:
        """Whether the coordinates are."""
        return self.scale.dim() == self.loc.dim()

    @property
    def distribution(self) -> dist.TorchDistribution:
        """As the host writes it, ``dim`` an event dimension."""
        if self.independent:
            return dist.Normal(self.loc, self.scale).to_event(1)
        return dist.MultivariateNormal(self.loc, scale_tril=self.scale)

    def beside(self, ndim: int) -> "Gaussian":
        """The same with so many dimensions of length 1 between the rows and their values."""
        rows, ones = self.loc.shape[:-1], (1,) * ndim
        scale = self.scale.reshape(*rows, *ones, *self.scale.shape[len(rows) :])
        return Gaussian(self.loc.reshape(*rows, *ones, -1), scale)


def read_encoded(encoded: torch.Tensor, dim: int, family: str) -> Gaussian:
    """The Gaussians of rows.

    Args:
        encoded: What the encoder gave, ``[row, output]``.
        dim: Coordinates of a row.
        family: ``"mean_field"`` or ``"full_rank"``.
    """
    loc, raw, below = encoded[..., :dim], encoded[..., dim : 2 * dim], encoded[..., 2 * dim :]
    # Not nothing, or one step too far ends a run.
    scale = functional.softplus(raw) + torch.finfo(raw.dtype).tiny
    if family == "mean_field":
        return Gaussian(loc, scale)
    row, column = torch.tril_indices(dim, dim, -1, device=loc.device)
    tril = torch.diag_embed(scale)
    tril[..., row, column] = below
    return Gaussian(loc, tril)
