"""What is put between a model and its handlers: data become tensors, missing ones are imputed."""

from typing import ClassVar, Self

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine.messenger import Messenger
from torch.distributions import biject_to, constraints

from ppl_ext.pyro.tracing.data.data_kinds import read_observed

__all__ = ["OrdinaryData", "mask_of"]


class OrdinaryData(Messenger):
    """Gives a model's sites data that can be scored; goes directly around the model.

    Data that are no tensors become some. What a mask hides may be NaN: it is replaced by a datum
    that is seen, since NaN would reach the gradient through the mask. Of a site with ``obs_mask``
    the host makes a latent one of full size whose density is flat where there are data; there it
    gets a density of its own, see `_MissingOnly`.
    """

    def __enter__(self) -> Self:
        self._masked: dict[str, torch.Tensor] = {}
        return super().__enter__()

    def _pyro_sample(self, msg: dict) -> None:
        name, mask = msg["name"], msg["mask"]
        if msg["is_observed"] and msg["value"] is not None:
            msg["value"] = read_observed(name, msg["value"])
            if isinstance(mask := mask_of(msg), torch.Tensor):
                self._masked[name] = mask
                msg["value"] = _fill(msg["value"], _over_events(mask, msg["fn"].event_dim))
            return
        observed = self._masked.get(f"{name.removesuffix('_unobserved')}_observed")
        if observed is None or not isinstance(mask, torch.Tensor) or (observed & mask).any():
            return
        if not msg["fn"].support.is_discrete:
            msg["fn"], msg["mask"] = _MissingOnly(msg["fn"], mask), None


def mask_of(msg: dict) -> torch.Tensor | bool | None:
    """The mask of a site, whether a handler set it or its distribution."""
    masks = [each for each in (msg["mask"], getattr(msg["fn"], "_mask", None)) if each is not None]
    if len(masks) == 2:
        return masks[0] & masks[1]
    return masks[0] if masks else None


class _MissingOnly(TorchDistribution):
    """A distribution that counts where data are missing, and is standard normal elsewhere.

    Elsewhere nothing hangs on the value, on unconstrained space, so that it integrates to one and
    a Gaussian guide follows it exactly. A flat density would let the bound grow without end.
    """

    arg_constraints: ClassVar[dict] = {}

    def __init__(self, missing_from: TorchDistribution, missing: torch.Tensor) -> None:
        self.base, self.missing = missing_from, missing
        shape = torch.broadcast_shapes(missing_from.batch_shape, missing.shape)
        super().__init__(shape, missing_from.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return self.base.support

    @property
    def has_rsample(self) -> bool:
        return self.base.has_rsample

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "_MissingOnly":
        return _MissingOnly(self.base.expand(batch_shape), self.missing)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> torch.Tensor:  # noqa: B008
        return self.base.expand(self.batch_shape).sample(sample_shape)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> torch.Tensor:  # noqa: B008
        return self.base.expand(self.batch_shape).rsample(sample_shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        transform = biject_to(self.base.support)
        z = transform.inv(value)
        log_prob = self.base.log_prob(value)
        normal = pyro.distributions.Normal(torch.zeros_like(z), 1.0).log_prob(z)
        events = tuple(range(log_prob.dim(), z.dim()))
        normal = normal.sum(events) if events else normal
        jacobian = transform.log_abs_det_jacobian(z, value)
        return torch.where(self.missing, log_prob, normal - jacobian)


def _over_events(mask: torch.Tensor, event_dim: int) -> torch.Tensor:
    return mask.reshape(mask.shape + (1,) * event_dim)


def _fill(value: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """The data, with one that is seen in place of those that are hidden and not finite."""
    if not value.is_floating_point() or not (bad := ~value.isfinite() & ~seen).any():
        return value
    good = value[value.isfinite() & seen.expand(value.shape)]
    return torch.where(bad, good[0] if len(good) else torch.zeros(()).to(value), value)
