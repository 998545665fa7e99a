"""Choose how far every location-scale site is centred, by the evidence lower bound."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpyro import handlers
from numpyro.primitives import Messenger

from ppl_ext.density import Density
from ppl_ext.gaussian_vi.centering import Form, choose_centering
from ppl_ext.gaussian_vi.location_scale import LocationScale
from ppl_ext.gaussian_vi.solution import GaussianSolution
from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.centering import location_and_scale
from ppl_ext.numpyro.tracing.compiled_density import compile_density
from ppl_ext.numpyro.tracing.density import density_of
from ppl_ext.numpyro.tracing.find_sites import put_unconstrained
from ppl_ext.numpyro.tracing.model_call import ModelCall
from ppl_ext.numpyro.tracing.turns import in_turn

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
    chosen = choose_centering(
        Form(density, functools.partial(_read_priors, bound)),
        solution,
        lambda centering: _form_of(bound.centred(centering)),
    )
    return bound.centred(chosen) if chosen else None


def _form_of(bound: BoundModel) -> Form:
    return Form(density_of(bound), functools.partial(_read_priors, bound))


def _read_priors(bound: BoundModel, points: np.ndarray) -> dict[str, LocationScale]:
    """Location and scale of every location-scale site at draws on unconstrained space."""
    compiled = compile_density(bound.call)
    read = compiled.run(_compile_priors(bound.call), bound.arrays, points)
    slices = {site.name: (site.start, site.stop) for site in compiled.sites}
    count = len(points)
    return {
        name: LocationScale(*slices[name], *(part.reshape(count, -1) for part in found))
        for name, found in read.items()
    }


@functools.lru_cache(maxsize=64)
def _compile_priors(call: ModelCall) -> Callable:
    sites = compile_density(call).sites
    shapes = {latent.name: latent.unconstrained_shape for latent in call.sites.latents}

    def read(z, arrays):
        position = {
            site.name: z[site.start : site.stop].reshape(shapes[site.name]) for site in sites
        }
        listening = _Listening(call.run)
        placed = put_unconstrained(
            handlers.seed(listening, 0), lambda site, _: position.get(site["name"])
        )
        with handlers.block():
            placed(arrays)
        return listening.found

    return jax.jit(jax.vmap(read, in_axes=(0, None)))


class _Listening(Messenger):
    """Notes location and scale of the sites that `Centering` in its place could reach."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__(fn)
        self.found: dict[str, tuple[jax.Array, jax.Array]] = {}

    def process_message(self, msg: dict[str, Any]) -> None:
        """Note the site, unless it comes with a value, as out of the host's scan."""
        if msg["type"] != "sample" or msg["value"] is not None:
            return
        found = None if msg["kwargs"].get("sample_shape") else location_and_scale(msg["fn"])
        if found is not None:
            self.found[msg["name"]] = found
