"""A Pyro model with its arguments bound: which sites it has, and how to run it at a point."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ppl_ext.density import Site
from ppl_ext.pyro.tracing.find_sites import check_data, visit_model
from ppl_ext.pyro.tracing.isolation import own_param_store, own_random_state, unvalidated
from ppl_ext.pyro.tracing.messages import is_data
from ppl_ext.pyro.tracing.run_at_point import StochasticOnlyError, Visit
from ppl_ext.pyro.tracing.site_shapes import Layout, read_layout

__all__ = ["Program", "read_program"]


@dataclass(frozen=True)
class Program:
    """A model, its arguments bound, and what one run of it showed.

    Args:
        run: The model as a function without arguments.
        sites: The latent sites in the order of the model.
        pieces: For each latent site the shape and the dtype of its unconstrained value.
        layout: Names and shapes of all sites.
        dtype: Type of the flat unconstrained vector.
        device: Where the model runs.
    """

    run: Callable[[], object]
    sites: tuple[Site, ...]
    pieces: dict[str, tuple[torch.Size, torch.dtype]]
    layout: Layout
    dtype: torch.dtype
    device: torch.device

    @property
    def dim(self) -> int:
        """Number of unconstrained coordinates."""
        return self.sites[-1].stop

    def points(self, z: np.ndarray) -> torch.Tensor:
        """The same points in the precision and on the device of the model.

        Raises:
            ValueError: If z is not of shape [draw, dim].
        """
        z = np.asarray(z, dtype=np.float64)
        if z.ndim != 2 or z.shape[1] != self.dim:
            raise ValueError(
                f"trace_density: the density was called with an array of shape {z.shape}, where "
                f"[draw, {self.dim}] is expected. Give one draw as z[None, :]."
            )
        return torch.as_tensor(z, dtype=self.dtype, device=self.device)

    def visit(self, z: torch.Tensor) -> Visit:
        """Runs the model with its latent sites at z[dim]."""
        split = z.split([site.size for site in self.sites])
        point = {
            name: part.view(shape).to(dtype)
            for part, (name, (shape, dtype)) in zip(split, self.pieces.items(), strict=True)
        }
        with Visit(point) as visit:
            self.run()
        return visit


def read_program(model: Callable, *args: object, **kwargs: object) -> Program:
    """Runs a model once and reads its structure.

    Raises:
        ValueError: If the model has no latent site, or one that is discrete or whose support is
            unknown; if it subsamples, has an empty plate or learnable parameters; if its data
            are not finite, or integers under a continuous distribution.
    """

    def run() -> object:
        return model(*args, **kwargs)

    with unvalidated(), own_random_state(0), own_param_store(), torch.no_grad():
        visit, params = visit_model(run, model, args, kwargs)
    if params:
        raise StochasticOnlyError(
            f"trace_density: the model has learnable parameters {params}, where only sampled and "
            "observed sites are expected. Give them a prior (pyro.sample), or learn them: "
            "fit(model, guide, ..., optimizer=Stochastic())."
        )
    latents = {name: msg for name, msg in visit.sites.items() if name in visit.point}
    if not latents:
        raise ValueError(
            f"trace_density: the model has no latent site (its sites are {sorted(visit.sites)}), "
            "so there is nothing to infer. Sample at least one site without obs=..., or "
            "pass the data as None where it should be inferred."
        )
    for name, piece in visit.point.items():
        if not piece.numel():
            raise ValueError(
                f"trace_density: latent site {name!r} has shape "
                f"{tuple(latents[name]['value'].shape)} and holds no value, where at least one is "
                "expected. Leave the site out where there is nothing to infer."
            )
    for msg in visit.sites.values():
        if is_data(msg):
            check_data(msg, "trace_density")
    layout = read_layout(visit.sites, visit.terms)
    sites, stop = [], 0
    for name in latents:
        start, stop = stop, stop + visit.point[name].numel()
        sites.append(Site(name, layout.shapes[name], start, stop, layout.dims.get(name, ())))
    pieces = {name: (part.shape, part.dtype) for name, part in visit.point.items()}
    dtype = functools.reduce(torch.promote_types, [dtype for _, dtype in pieces.values()])
    device = next(iter(visit.point.values())).device
    return Program(run, tuple(sites), pieces, layout, dtype, device)
