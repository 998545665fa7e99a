"""What the Gaussian guides share: quantiles in closed form."""

import pyro.distributions as dist
import torch

from ppl_ext.pyro.guides.flat import AbstractFlatGuide

__all__ = ["AbstractGaussianGuide"]


class AbstractGaussianGuide(AbstractFlatGuide):
    """A Gaussian over the unconstrained latent space of a model."""

    def _flat_quantiles(self, probabilities: torch.Tensor) -> torch.Tensor:
        loc, scale = self._flat()
        sd = scale if scale.dim() == 1 else scale.pow(2).sum(-1).sqrt()
        return dist.Normal(loc, sd).icdf(probabilities[..., None])

    def _push(self, noise: torch.Tensor) -> torch.Tensor:
        loc, scale = self._flat()
        return loc + (noise * scale if scale.dim() == 1 else noise @ scale.T)
