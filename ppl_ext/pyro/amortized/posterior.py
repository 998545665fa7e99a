"""The posterior of rows and of what they share: draws, medians and quantiles of all sites."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyro.distributions as dist
import torch

from ppl_ext.amortization.layout import RowLayout
from ppl_ext.pyro.amortized import emission
from ppl_ext.pyro.amortized.framed_flows import RowFlow
from ppl_ext.pyro.amortized.gaussians import Gaussian
from ppl_ext.pyro.amortized.rows import Sites

__all__ = ["RowPosterior"]


@dataclass(frozen=True)
class RowPosterior:
    """What is known of rows and of what they share.

    Args:
        layout: The sites.
        shared: Gaussian of the shared sites; None where there are none.
        local: That of the local sites, one for each row.
        sites: A run of the model with these rows, which knows the supports.
    """

    layout: RowLayout
    shared: Gaussian | None
    local: Gaussian | RowFlow
    sites: Sites

    @property
    def distribution(self) -> dist.TorchDistribution:
        """That of the rows, on unconstrained space."""
        return self.local.distribution

    def sample(self, shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
        """Draw all sites."""
        z = self.distribution.sample(torch.Size(shape))
        shared = None
        if self.shared is not None:
            shared = self.shared.distribution.sample(torch.Size(shape))
        return emission.constrain(self.layout, shared, z, self.sites)

    def find_median(self) -> dict[str, torch.Tensor]:
        """Medians of all sites."""
        half = torch.full_like(self.local.loc[0, :1], 0.5)
        return {name: value[0] for name, value in self._at(half).items()}

    def find_quantiles(self, levels: Sequence[float]) -> dict[str, torch.Tensor]:
        """Quantiles of all sites, ``[quantile, ...]``."""
        loc = self.local.loc
        probability = torch.as_tensor(levels, dtype=loc.dtype, device=loc.device)
        # A bijection onto an interval without a lower end is decreasing and turns them around.
        quarters = self._at(torch.tensor([0.25, 0.75]).to(probability))
        rising, falling = self._at(probability), self._at(1 - probability)
        return {
            name: torch.where(low <= high, rising[name], falling[name])
            for name, (low, high) in quarters.items()
        }

    def _at(self, probability: torch.Tensor) -> dict[str, torch.Tensor]:
        """The sites where all coordinates stand at a quantile."""
        shared = None if self.shared is None else self.shared.find_quantiles(probability)
        z = self.local.find_quantiles(probability)
        return emission.constrain(self.layout, shared, z, self.sites)
