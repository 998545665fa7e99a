"""Choose how far every location-scale site is centred, by the evidence lower bound."""

import functools

import numpy as np
import torch

from ppl_ext.density import Density
from ppl_ext.gaussian_vi.centering import Form, choose_centering
from ppl_ext.gaussian_vi.location_scale import LocationScale
from ppl_ext.gaussian_vi.solution import GaussianSolution
from ppl_ext.pyro.tracing.batched_density import Tensors, batch_size, over_draws
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.centering import location_and_scale
from ppl_ext.pyro.tracing.density import density_of
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["reparameterise"]


@in_turn
def reparameterise(
    bound: BoundModel, density: Density, solution: GaussianSolution
) -> BoundModel | None:
    """Choose coordinates for the location-scale sites of a model, by the evidence lower bound.

    A site qualifies where its location or its scale depends on other latent sites. Names, values
    and plates of the sites stay as they are; only the bijection to unconstrained space changes.

    Args:
        bound: The model; one that has a density.
        density: Its log density.
        solution: A Gaussian fitted to it, mean field or full rank.

    Returns:
        The model in other coordinates, in which a Gaussian of the same family has a larger
        evidence lower bound; None where no site qualifies or the bound does not rise.
    """
    if bound.centering:
        return None

    def form_of(bound: BoundModel) -> Form:
        form = density if bound is written else density_of(bound)
        return Form(form, functools.partial(_read_priors, bound, form.batched))

    written = bound
    chosen = choose_centering(
        form_of(written), solution, lambda centering: form_of(written.centred(centering))
    )
    return written.centred(chosen) if chosen else None


def _read_priors(bound: BoundModel, batched: bool, points: np.ndarray) -> dict[str, LocationScale]:
    """Location and scale of every location-scale site at draws on unconstrained space."""
    slices = {site.name: (site.start, site.stop) for site in bound.coordinates}

    def read(z: torch.Tensor) -> Tensors:
        sites = bound.visit(z).sites
        found = {name: location_and_scale(sites[name]["fn"]) for name in slices}
        return {
            (name, part): pair[part].reshape(-1)
            for name, pair in found.items()
            if pair is not None
            for part in (0, 1)
        }

    z = bound.points(points)
    shapes = {key: value.shape for key, value in read(z[0]).items()}
    found = over_draws(read, z, shapes, batch_size(bound.work) if batched else 1)
    return {
        name: LocationScale(*slices[name], found[name, 0], found[name, 1])
        for name, part in shapes
        if part == 0
    }
