"""A trained network as a guide of the host, for one observation."""

import math
from contextlib import ExitStack

import numpy as np
import pyro
import torch
from pyro.distributions import TorchDistribution, TransformedDistribution
from torch.distributions import constraints

from ppl_ext.pyro.guides.point import Point
from ppl_ext.pyro.npe.coordinates import Coordinates
from ppl_ext.pyro.npe.network import Network
from ppl_ext.pyro.npe.soft_clip import Unclip
from ppl_ext.pyro.npe.trained import Trained

__all__ = ["AveragedMembers", "sample_sites"]


class AveragedMembers(TorchDistribution):
    """The average of the densities of all members, given one observation.

    Args:
        network: The network.
        f: Features of the observation, ``[width]``.
        loc: Origin of its coordinates, ``[dim]``.
        scale_tril: Their Cholesky factor, ``[dim, dim]``.
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real_vector

    def __init__(
        self, network: Network, f: torch.Tensor, loc: torch.Tensor, scale_tril: torch.Tensor
    ) -> None:
        self.network, self.loc, self.scale_tril = network, loc, scale_tril
        self.parts = [member(f) for member in network.members]
        super().__init__(torch.Size(), loc.shape)

    def expand(self, batch_shape, _instance=None):
        """The same distribution, for an empty batch alone."""
        if torch.Size(batch_shape):
            raise NotImplementedError(
                f"AveragedMembers: expand to {tuple(batch_shape)}; expected no batch, for it is "
                "the posterior of one observation. Draw it outside of plates."
            )
        return self

    @property
    def has_rsample(self) -> bool:
        """Whether draws have a gradient, which those of a mixture density have not."""
        return all(part.has_rsample for part in self.parts)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> torch.Tensor:  # noqa: B008
        """Draw from a member at random."""
        with torch.no_grad():
            return self._draw("sample", torch.Size(sample_shape))

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> torch.Tensor:  # noqa: B008
        """Draw from a member at random, with gradients to its weights."""
        return self._draw("rsample", torch.Size(sample_shape))

    def _draw(self, way: str, sample_shape: torch.Size) -> torch.Tensor:
        each = torch.stack([getattr(part, way)(sample_shape) for part in self.parts])
        chosen = torch.randint(len(each), sample_shape, device=each.device)
        index = chosen[None, ..., None].expand(1, *sample_shape, *self.event_shape)
        return self.loc + each.gather(0, index)[0] @ self.scale_tril.T

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log density of values ``[..., dim]``."""
        away = (value - self.loc)[..., None]
        u = torch.linalg.solve_triangular(self.scale_tril, away, upper=False)[..., 0]
        each = torch.stack([part.log_prob(u) for part in self.parts])
        log_scale = self.scale_tril.diagonal().log().sum()
        return each.logsumexp(0) - math.log(len(each)) - log_scale


def sample_sites(
    trained: Trained, where: Coordinates, f: np.ndarray, prefix: str
) -> dict[str, torch.Tensor]:
    """Draw every site of interest once, inside of the host.

    Args:
        trained: The network, whose weights become parameters ``{prefix}_weights$$$...``.
        where: The sites of interest.
        f: Features of the observation, ``[1, width]``.
        prefix: First part of the names of parameters and auxiliary site.
    """
    network = pyro.module(f"{prefix}_weights", trained.network)
    location = trained.frame.locate(f, trained.features.layout)[0]
    members = AveragedMembers(
        network,
        network.to_tensor(f[0]),
        network.to_tensor(location),
        network.to_tensor(trained.frame.scale_tril),
    )
    unclip = Unclip(network.to_tensor(trained.frame.clip.softness))
    z = pyro.sample(
        f"_{prefix}_latent",
        TransformedDistribution(members, [unclip]),
        infer={"is_auxiliary": True},
    )
    values, plates = {}, {}
    for site in where.sites:
        latent = site.latent
        coordinates = z[site.start : site.stop].reshape(latent.unconstrained_shape)
        value = latent.transform(coordinates)
        log_density = -latent.transform.log_abs_det_jacobian(coordinates, value)
        batch_ndim = value.dim() - latent.event_dim
        while log_density.dim() > batch_ndim:
            log_density = log_density.sum(-1)
        with ExitStack() as stack:
            for plate in latent.plates:
                known = pyro.plate(plate.name, plate.size, dim=plate.dim)
                stack.enter_context(plates.setdefault(plate.name, known))
            delta = Point(value, log_density, event_dim=latent.event_dim)
            values[site.name] = pyro.sample(site.name, delta)
    return values
