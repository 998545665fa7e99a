"""What the guides share that span all coordinates at once."""

from collections.abc import Mapping
from contextlib import ExitStack

import pyro
import torch
from pyro.distributions import constraints
from pyro.nn import PyroParam

from ppl_ext.pyro.guides.flat import AbstractFlatGuide

__all__ = ["AbstractJointGuide"]


class AbstractJointGuide(AbstractFlatGuide):
    """A guide with one distribution over all latent coordinates, and a full Gaussian in it."""

    def _check_plates(self, latents: Mapping[str, dict]) -> None:
        kind = type(self).__name__
        for name, site in latents.items():
            for frame in site["cond_indep_stack"]:
                size = frame.full_size
                if frame.name in self._given or size not in (None, -1, frame.size):
                    raise ValueError(
                        f"{kind}: latent site {name!r} is local to plate {frame.name!r}, "
                        f"which is subsampled ({frame.size} of {size} rows). A joint guide "
                        "needs all rows at once; use AutoMeanField(model), or AutoGuideList with "
                        f"{kind}(poutine.block(model, hide=[{name!r}])) for the others."
                    )

    def _start_parameters(self, parts: dict[str, torch.Tensor]) -> None:
        loc = torch.cat([part.reshape(-1) for part in parts.values()])
        self._register(loc, torch.full_like(loc, self._init_scale))

    def _register(self, loc: torch.Tensor, scale: torch.Tensor) -> None:
        # Rows of the factor relative to their scale: a step then means the same for each.
        tril = torch.eye(len(loc), dtype=loc.dtype, device=loc.device)
        self.loc = PyroParam(loc, constraints.real)
        self.scale = PyroParam(scale, constraints.softplus_positive)
        self.scale_tril = PyroParam(tril, constraints.unit_lower_cholesky)

    def _make_room(self, state: dict[str, torch.Tensor]) -> bool:
        loc = state.get("loc_unconstrained")
        if loc is not None:
            self._register(torch.zeros_like(loc), torch.ones_like(loc))
        return loc is not None

    def _check_restored(self) -> None:
        expected = sum(shape.numel() for shape in self._shapes.values())
        if len(self.loc) != expected:
            raise ValueError(
                f"{type(self).__name__}: the loaded state has {len(self.loc)} coordinates, where "
                f"the model has {expected}. Load it into the guide of the model and data it was "
                "saved with."
            )

    def forward(self, *args: object, **kwargs: object) -> dict[str, torch.Tensor]:
        """Samples the latent sites of the model.

        Args:
            *args: Arguments of the model.
            **kwargs: Keyword arguments of the model.

        Returns:
            The value of each latent site.
        """
        self._require_setup(args, kwargs)
        self._create_plates(*args, **kwargs)
        auxiliary = {"is_auxiliary": True}
        flat = pyro.sample(f"_{self._pyro_name}_latent", self.get_posterior(), infer=auxiliary)
        result, start = {}, 0
        for name, shape in self._shapes.items():
            stop = start + shape.numel()
            # Plates outside of the guide, such as vectorised particles, stand to the left.
            outer = flat.shape[:-1] + (1,) * self._event_dims[name]
            part = flat[..., start:stop].reshape(torch.broadcast_shapes(shape, outer))
            support = self._support_of(name, result, (args, kwargs))
            with ExitStack() as stack:
                self._enter_plates(stack, name, [])
                result[name] = self._sample_transformed(name, part, support)
            start = stop
        return result

    def _flat(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.loc, self.scale[..., None] * self.scale_tril

    def _set_flat(self, loc: torch.Tensor, scale: torch.Tensor) -> None:
        diagonal = scale.diagonal()
        self.loc = loc
        self.scale = diagonal
        self.scale_tril = scale / diagonal[:, None]
