"""Latent values as unconstrained coordinates in a row, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.distributions.transforms import (
    ComposeTransform,
    IndependentTransform,
    SigmoidTransform,
    Transform,
)

from ppl_ext.pyro.npe.simulation import look_at_simulations
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.run_at_point import bijection_of
from ppl_ext.pyro.tracing.sites import Latent

__all__ = ["Coordinates", "Part", "to_array"]


@dataclass(frozen=True)
class Part:
    """The coordinates of a site.

    Args:
        latent: The site.
        start: The first of them.
        stop: The one after the last.
    """

    latent: Latent
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Name of the site."""
        return self.latent.name


class Coordinates:
    """The bijections of some latent sites, one after the other.

    Args:
        bound: The model with its arguments.
        latents: The sites.

    Raises:
        ValueError: The support of a site hangs on other values.
    """

    def __init__(self, bound: BoundModel, latents: Sequence[Latent]) -> None:
        self.device = bound.device
        for look in look_at_simulations(bound):
            for latent in latents:
                self._refuse_moving(bound.caller, latent, look.nodes[latent.name])
        parts, stop = [], 0
        for latent in latents:
            start, stop = stop, stop + int(np.prod(latent.unconstrained_shape))
            parts.append(Part(latent, start, stop))
        self.sites = tuple(parts)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.sites[-1].stop

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the sites' values."""
        return {site.name: site.latent.shape for site in self.sites}

    @property
    def marks(self) -> dict[str, np.ndarray]:
        """Values at coordinates from -1 to 1, by which the supports are known again."""
        return self.push(np.linspace(-1.0, 1.0, self.dim)[None])

    @property
    def bounded(self) -> np.ndarray:
        """Which coordinates are logits of values between two bounds, ``[dim]``."""
        found = [_begins_with_sigmoid(site.latent.transform) for site in self.sites]
        return np.repeat(found, [site.stop - site.start for site in self.sites])

    def pull(self, values: Mapping[str, Any]) -> np.ndarray:
        """Coordinates ``[draw, dim]`` of values ``{site: array[draw, ...]}``."""
        parts = []
        for site in self.sites:
            x = torch.as_tensor(to_array(values[site.name]), device=self.device)
            # Tables may hold whole numbers, which bijections of torch do not take.
            x = x if x.is_floating_point() else x.double()
            z = site.latent.transform.inv(x.reshape(-1, *site.latent.shape))
            parts.append(z.reshape(len(z), -1).double().cpu().numpy())
        return np.concatenate(parts, 1)

    def push(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Values ``{site: array[draw, ...]}`` of coordinates ``[draw, dim]``."""
        return {
            site.name: site.latent.transform(self._cut(site, z))
            .reshape(-1, *site.latent.shape)
            .cpu()
            .numpy()
            for site in self.sites
        }

    def log_jacobian(self, z: np.ndarray) -> np.ndarray:
        """Log determinant of `push`, ``[draw]``."""
        total = np.zeros(len(z))
        for site in self.sites:
            x = self._cut(site, z)
            log_det = site.latent.transform.log_abs_det_jacobian(x, site.latent.transform(x))
            total += log_det.reshape(len(z), -1).sum(1).cpu().numpy()
        return total

    def _cut(self, site: Part, z: np.ndarray) -> torch.Tensor:
        x = torch.as_tensor(z[:, site.start : site.stop], dtype=torch.float64, device=self.device)
        return x.reshape(-1, *site.latent.unconstrained_shape)

    def _refuse_moving(self, caller: str, latent: Latent, message: dict) -> None:
        shape = latent.unconstrained_shape
        z = torch.linspace(-1, 1, int(np.prod(shape)), device=self.device).reshape(shape)
        if not torch.allclose(bijection_of(message)(z), latent.transform(z)):
            raise ValueError(
                f"{caller}: the support of site '{latent.name}' ({latent.distribution}) hangs "
                "on the values of others; expected the same for all of them. Write it in "
                "units of what it hangs on, or leave it out: latent=[...]."
            )


def to_array(values: Any) -> np.ndarray:
    """A tensor or what NumPy takes, as an array."""
    return (
        values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    )


def _begins_with_sigmoid(transform: Transform) -> bool:
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    # The identity of a host may be a composition of nothing.
    parts = transform.parts if isinstance(transform, ComposeTransform) else [transform]
    return isinstance(next(iter(parts), None), SigmoidTransform)
