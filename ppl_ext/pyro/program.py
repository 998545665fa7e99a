"""A Pyro model with its arguments bound: which sites it has, and how to run it at a point."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from pyro.poutine.util import site_is_factor

from ppl_ext.density import Site
from ppl_ext.pyro.first_visit import check_data, first_visit
from ppl_ext.pyro.isolation import own_param_store, own_random_state, unvalidated
from ppl_ext.pyro.site import event_dim_of, is_data, plate_layout
from ppl_ext.pyro.visit import Visit

__all__ = ["Program", "read_program"]


@dataclass(frozen=True)
class Program:
    """A model, its arguments bound, and what one run of it showed.

    Args:
        run: The model as a function without arguments.
        sites: The latent sites in the order of the model.
        pieces: For each latent site the shape and the dtype of its unconstrained value.
        dims: Names of the plate dimensions of latent, deterministic and observed sites.
        shapes: Shapes of the same sites without the dimensions that only pad.
        observed: The data, by site.
        work: Floats that one run of the model holds at its sites.
        dtype: Type of the flat unconstrained vector.
        device: Where the model runs.
    """

    run: Callable[[], object]
    sites: tuple[Site, ...]
    pieces: dict[str, tuple[torch.Size, torch.dtype]]
    dims: dict[str, tuple[str, ...]]
    shapes: dict[str, tuple[int, ...]]
    observed: dict[str, np.ndarray]
    work: int
    dtype: torch.dtype
    device: torch.device

    @property
    def dim(self) -> int:
        """Number of unconstrained coordinates."""
        return self.sites[-1].stop

    def visit(self, z: torch.Tensor, predict: bool = False) -> Visit:
        """Runs the model with its latent sites at z[dim]."""
        split = z.split([site.size for site in self.sites])
        point = {
            name: part.view(shape).to(dtype)
            for part, (name, (shape, dtype)) in zip(split, self.pieces.items(), strict=True)
        }
        with Visit(point, predict) as visit:
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
        visit, params = first_visit(run, model, args, kwargs)
    if params:
        raise ValueError(
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
    dims, shapes, observed = {}, {}, {}
    for name, msg in visit.sites.items():
        if site_is_factor(msg):
            continue
        value = msg["value"]
        if is_data(msg):
            check_data(msg)
            value = value.expand(torch.broadcast_shapes(value.shape, msg["fn"].shape()))
        dims[name], shapes[name] = plate_layout(
            name, tuple(value.shape), event_dim_of(msg), msg["cond_indep_stack"]
        )
        if is_data(msg):
            observed[name] = value.detach().cpu().numpy().reshape(shapes[name])
    sites, stop = [], 0
    for name in latents:
        start, stop = stop, stop + visit.point[name].numel()
        sites.append(Site(name, shapes[name], start, stop, dims[name]))
    pieces = {name: (part.shape, part.dtype) for name, part in visit.point.items()}
    dtype = torch.empty((), dtype=torch.float32).dtype
    for part in visit.point.values():
        dtype = torch.promote_types(dtype, part.dtype)
    work = sum(msg["value"].numel() for msg in visit.sites.values() if not msg["is_observed"])
    work += sum(term.numel() for term in visit.terms.values())
    device = next(iter(visit.point.values())).device
    return Program(run, tuple(sites), pieces, dims, shapes, observed, work, dtype, device)
