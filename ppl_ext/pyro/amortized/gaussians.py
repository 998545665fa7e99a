"""Gaussians of rows: their parameters from what an encoder gives."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pyro.distributions as dist
import torch
from torch.nn import functional

__all__ = ["Change", "Gaussian", "make_tril", "read_encoded"]

Change = Mapping[str, torch.Tensor]


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
    def mean_field(self) -> bool:
        """Whether the coordinates are independent."""
        return self.scale.dim() == self.loc.dim()

    @property
    def distribution(self) -> dist.TorchDistribution:
        """As the host writes it, ``dim`` an event dimension."""
        if self.mean_field:
            return dist.Normal(self.loc, self.scale).to_event(1)
        return dist.MultivariateNormal(self.loc, scale_tril=self.scale)

    def beside(self, ndim: int) -> "Gaussian":
        """The same with so many dimensions of length 1 between the rows and their values."""
        rows, ones = self.loc.shape[:-1], (1,) * ndim
        scale = self.scale.reshape(*rows, *ones, *self.scale.shape[len(rows) :])
        return Gaussian(self.loc.reshape(*rows, *ones, -1), scale)

    def push(self, e: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws ``[..., dim]`` from standard normal noise, and their log densities."""
        log_e = -0.5 * e.square().sum(-1) - 0.5 * e.shape[-1] * math.log(2 * math.pi)
        return self.stretch(e), log_e - self.log_volume

    @property
    def log_volume(self) -> torch.Tensor:
        """Log determinant of the map from the noise."""
        diagonal = self.scale if self.mean_field else self.scale.diagonal(dim1=-2, dim2=-1)
        return diagonal.log().sum(-1)

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """Log densities of ``z[..., dim]``."""
        return self.distribution.log_prob(z)

    def start_change(self) -> dict[str, torch.Tensor]:
        """The change that leaves everything as it is, for `moved`."""
        change = {"loc": torch.zeros_like(self.loc), "log_scale": torch.zeros_like(self.loc)}
        dim = self.loc.shape[-1]
        if not self.mean_field and dim > 1:
            change["below"] = self.loc.new_zeros(*self.loc.shape[:-1], dim * (dim - 1) // 2)
        return change

    def moved(self, change: Change) -> "Gaussian":
        """Another one, its change told in this one's own coordinates and scales."""
        loc = self.stretch(change["loc"])
        scale = change["log_scale"].exp()
        if self.mean_field:
            return Gaussian(loc, self.scale * scale)
        below = change.get("below", loc.new_zeros(*loc.shape[:-1], 0))
        return Gaussian(loc, self.scale @ make_tril(scale, below))

    def stretch(self, x: torch.Tensor) -> torch.Tensor:
        """Where points ``x[..., dim]`` of the standard normal distribution come to lie."""
        if self.mean_field:
            return self.loc + self.scale * x
        return self.loc + (self.scale @ x[..., None])[..., 0]

    def shrink(self, z: torch.Tensor) -> torch.Tensor:
        """The way back of `stretch`."""
        away = z - self.loc
        if self.mean_field:
            return away / self.scale
        return torch.linalg.solve_triangular(self.scale, away[..., None], upper=False)[..., 0]

    def find_quantiles(self, probability: torch.Tensor) -> torch.Tensor:
        """Quantiles of the coordinates, ``[quantile, ..., dim]``.

        Args:
            probability: ``[quantile]``.
        """
        standard = torch.special.ndtri(probability).reshape(-1, *(1,) * self.loc.dim())
        deviations = self.scale if self.mean_field else self.scale.square().sum(-1).sqrt()
        return self.loc + standard * deviations


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
    return Gaussian(loc, scale if family == "mean_field" else make_tril(scale, below))


def make_tril(diagonal: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """Lower triangular matrices, their entries below the diagonal row by row."""
    dim = diagonal.shape[-1]
    row, column = torch.tril_indices(dim, dim, -1, device=diagonal.device)
    tril = torch.diag_embed(diagonal)
    tril[..., row, column] = below
    return tril
