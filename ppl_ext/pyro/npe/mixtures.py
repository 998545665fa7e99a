"""Conditional mixtures of Gaussians, of which one component is the full-rank Gaussian."""

import pyro.distributions as dist
import torch

__all__ = ["FullRankGaussian", "MixtureDensity"]

_SPREAD = 0.5  # sds by which the components begin apart from each other


class MixtureDensity(torch.nn.Module):
    """A mixture of full-rank Gaussians whose parameters are linear in the context.

    Args:
        dim: Number of coordinates.
        context_dim: Width of the context.
        num_components: Number of components.

    Example:
        >>> density = MixtureDensity(2, context_dim=3)
        >>> q = density(torch.zeros(5, 3))
        >>> q.sample((4,)).shape
        torch.Size([4, 5, 2])

    References:
        Bishop (1994), Mixture density networks, Aston University, NCRG/94/004.
    """

    def __init__(self, dim: int, context_dim: int, num_components: int = 8) -> None:
        super().__init__()
        self.dim, self.context_dim, self.num_components = dim, context_dim, num_components
        # Near the standard normal distribution, whatever the context.
        each = 1 + dim + dim * (dim + 1) // 2
        bias = torch.zeros(num_components, each)
        if num_components > 1:
            bias[:, 1 : 1 + dim] = _SPREAD * torch.randn(num_components, dim)
        self.weight = torch.nn.Parameter(torch.zeros(bias.numel(), context_dim))
        self.bias = torch.nn.Parameter(bias.flatten())
        # Where each element of a Cholesky factor stands among diagonal, what is below, and zero.
        place = torch.full((dim, dim), dim * (dim + 1) // 2)
        place.fill_diagonal_(0)
        place += torch.diag(torch.arange(dim))
        rows, columns = torch.tril_indices(dim, dim, -1)
        place[rows, columns] = dim + torch.arange(len(rows))
        self.register_buffer("place", place.flatten(), persistent=False)

    def forward(self, context: torch.Tensor) -> dist.TorchDistribution:
        """The mixture given contexts ``[*batch, context_dim]``."""
        raw = torch.nn.functional.linear(context, self.weight, self.bias)
        raw = raw.unflatten(-1, (self.num_components, -1))
        logits, loc, log_scale, below = raw.split(
            (1, self.dim, self.dim, raw.shape[-1] - 1 - 2 * self.dim), -1
        )
        packed = torch.cat([log_scale.exp(), below, torch.zeros_like(logits)], -1)
        scale_tril = packed.index_select(-1, self.place).unflatten(-1, (self.dim, self.dim))
        normal = dist.MultivariateNormal
        if self.num_components == 1:  # whose draws have a gradient, and those of a mixture none
            return normal(loc[..., 0, :], scale_tril=scale_tril[..., 0, :, :], validate_args=False)
        return dist.MixtureSameFamily(
            dist.Categorical(logits=logits[..., 0], validate_args=False),
            normal(loc, scale_tril=scale_tril, validate_args=False),
            validate_args=False,
        )


class FullRankGaussian(MixtureDensity):
    """A full-rank Gaussian whose mean and Cholesky factor are linear in the context.

    Args:
        dim: Number of coordinates.
        context_dim: Width of the context.

    Example:
        >>> density = FullRankGaussian(2, context_dim=3)
        >>> density(torch.zeros(5, 3)).log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__(dim, context_dim, num_components=1)
