"""What a network reads of a spectrum, in PyTorch: its level, its shape and its noise."""

import torch

import ppl_ext.pyro as px
from ppl_ext.npe.features import Layout

__all__ = ["SpectrumEmbedding"]


class SpectrumEmbedding(torch.nn.Module):
    """Level, size and roughness of a spectrum, and its bins beside each of them.

    The radius of the planet moves all depths by thousands of ppm, and molecules move a few bins by
    a hundred: depths that are only standardised hide them.

    Args:
        layout: How the features lie: standardised depths in the order of the wavelengths.
        error: ``[bin]``, stated errors, of which the proportions count.
        context_dim: Numbers that it gives.
        hidden: Width of its layers.
    """

    def __init__(self, layout: Layout, error, context_dim: int = 32, hidden: int = 128) -> None:
        super().__init__()
        self.context_dim = context_dim
        error = torch.as_tensor(error, dtype=torch.float32)
        self.register_buffer("error", error / error.mean(), persistent=False)
        width = 3 * layout.width + 3
        self.network = px.npe.ResidualMLP(Layout(width), context_dim, hidden)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Sum up features ``[..., width]`` as ``[..., context_dim]``."""
        level = features.mean(-1, keepdim=True)
        shape = features - level
        size = ((shape**2).mean(-1, keepdim=True) + 1e-8).sqrt()
        # A bin less its neighbours is noise, where bands are wider than bins.
        rough = (shape[..., 1:-1] - (shape[..., :-2] + shape[..., 2:]) / 2) / self.error[1:-1]
        noise = ((rough**2).mean(-1, keepdim=True) + 1e-8).sqrt()
        views = [10 * shape, shape / size, torch.arcsinh(shape / (2 * noise * self.error))]
        return self.network(torch.cat([level, size.log() + 2, noise.log() + 3, *views], -1))
