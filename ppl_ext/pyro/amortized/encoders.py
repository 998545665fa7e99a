"""The encoder of rows: the network that is taken by default, and what it is shown."""

import torch

from ppl_ext.npe.features import Layout
from ppl_ext.pyro.npe.embeddings import ResidualMLP

__all__ = ["StandardEncoder", "check_encoder", "join_presence"]


class StandardEncoder(torch.nn.Module):
    """`ResidualMLP` on rows that are brought to mean 0 and standard deviation 1.

    Args:
        loc: Means of the columns, ``[width]``.
        scale: Their standard deviations.
        num_flags: Flags of what is there, after the columns.
        num_outputs: Numbers that it gives.
    """

    def __init__(
        self, loc: torch.Tensor, scale: torch.Tensor, num_flags: int, num_outputs: int
    ) -> None:
        super().__init__()
        self.register_buffer("loc", loc)
        self.register_buffer("scale", scale)
        width = len(loc) + num_flags
        network = ResidualMLP(Layout(vector_width=width), num_outputs)
        self.network = network.to(dtype=loc.dtype, device=loc.device)

    @classmethod
    def start(
        cls, features: torch.Tensor, present: torch.Tensor | None, num_outputs: int
    ) -> "StandardEncoder":
        """An encoder for columns such as ``features[row, width]``."""
        flat = features.reshape(len(features), -1)
        there = torch.ones_like(flat, dtype=torch.bool) if present is None else present
        count = there.sum(0).clamp(min=1)
        loc = torch.where(there, flat, 0.0).sum(0) / count
        scale = (torch.where(there, flat - loc, 0.0).square().sum(0) / count).sqrt()
        scale = torch.where(scale > 0, scale, 1.0)
        return cls(loc, scale, 0 if present is None else len(loc), num_outputs)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Read ``rows[row, ...]`` as ``[row, num_outputs]``."""
        flat = rows.reshape(len(rows), -1)
        width = len(self.loc)
        columns, flags = flat[:, :width], flat[:, width:]
        scaled = (columns - self.loc) / self.scale
        # What is missing stands at the mean, where it tells nothing.
        scaled = torch.where(flags > 0, scaled, 0.0) if flags.shape[1] else scaled
        return self.network(torch.cat([scaled, flags], -1))


def check_encoder(encoder: torch.nn.Module | None) -> torch.nn.Module | None:
    """Refuse what is no module, and make its parameters such as the host can train."""
    if encoder is None:
        return None
    if not isinstance(encoder, torch.nn.Module):
        raise ValueError(
            f"AutoAmortized: encoder is a {type(encoder).__name__}; expected a torch module, "
            "whose parameters the host can train. Write encoder=torch.nn.Sequential(...)."
        )
    for weight in encoder.parameters():
        # Of others the host would train a copy, and the module would never learn.
        weight.data = weight.data.contiguous()
    return encoder


def join_presence(features: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
    """Rows with zeros where values are missing, and beside them flags of what is there."""
    if present is None:
        return features
    seen = torch.where(present, features, 0.0)
    return torch.cat([seen, present.to(seen.dtype)], -1)
