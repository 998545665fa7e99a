"""What is to be learned: sites of interest, observed sites, and where pairs come from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pyro import poutine

from ppl_ext.npe.answers.values import as_drawn, check_observation
from ppl_ext.npe.features import Layout, ObservedSite
from ppl_ext.npe.observation import choose_names, choose_sites, take_table
from ppl_ext.npe.pair_source import PairSource
from ppl_ext.pyro.calibration.drawn_data import read_types
from ppl_ext.pyro.calibration.simulation import condition_on
from ppl_ext.pyro.npe.coordinates import Coordinates, to_array
from ppl_ext.pyro.npe.network import Network, build_network
from ppl_ext.pyro.npe.simulation import ModelSimulator, find_exchangeable
from ppl_ext.pyro.tracing.bound_model import BoundModel, bind_model
from ppl_ext.pyro.tracing.isolation import model_scope, own_param_store, own_random_state
from ppl_ext.pyro.tracing.refusals import refuse_latents, refuse_parameters, refuse_subsampling
from ppl_ext.simulation import Simulations

__all__ = ["Task", "read_task"]


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be learned from what.

    Args:
        bound: The model with its arguments.
        coordinates: The sites of interest.
        observed: The observed sites.
        missing: Whether observations may lack values and rows.
        make_source: ``seed -> PairSource``.
        make_network: ``(layout, num_members, seed) -> Network``.
        types: ``{observed site: type}`` in which the model draws them; empty for a simulator.
        condition: Binds the model to data ``{site: tensor}``; None where it has no density of the
            sites of interest alone.
    """

    bound: BoundModel
    coordinates: Coordinates
    observed: tuple[ObservedSite, ...]
    missing: bool
    make_source: Callable[[int], PairSource]
    make_network: Callable[[Layout, int, int], Network]
    types: Mapping[str, np.dtype]
    condition: Callable[[Mapping[str, torch.Tensor]], BoundModel] | None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Unconstrained shapes of the sites of interest."""
        sites = self.coordinates.sites
        return {site.name: tuple(site.latent.unconstrained_shape) for site in sites}

    def take_table(
        self, latent: Mapping[str, np.ndarray], observed: Mapping[str, np.ndarray]
    ) -> Simulations:
        """Pairs that came from elsewhere, after a look at their sites and shapes."""
        latent, observed = (
            {name: to_array(array) for name, array in group.items()}
            for group in (latent, observed)
        )
        return take_table(latent, self.coordinates.shapes, observed, self.observed)

    def read(self, x: Any) -> tuple[dict[str, np.ndarray], bool]:
        """One observation or many, and whether there are many; tensors are taken too."""
        given = (
            {name: to_array(values) for name, values in x.items()}
            if isinstance(x, Mapping)
            else to_array(x)
        )
        return check_observation(given, self.observed, self.missing)

    def bind(self, observed: Mapping[str, np.ndarray]) -> BoundModel | None:
        """The model with one observation as its data, where it can score it."""
        whole = all(np.isfinite(x).all() for x in observed.values())
        if self.condition is None or not whole:
            return None
        data = {}
        for site in self.bound.sites.observed:
            x = as_drawn(site.name, observed[site.name][0], self.types[site.name], site.discrete)
            data[site.name] = torch.as_tensor(x.reshape(site.shape), device=self.bound.device)
        return self.condition(data)


def read_task(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    observed: str | Sequence[str] | None,
    latent: str | Sequence[str] | None,
    simulator: Callable[..., Any] | None,
    vectorized: bool,
    exchangeable: Mapping[str, int] | None,
    estimator: Callable[..., Any] | None,
    embedding: Callable[..., Any] | None,
    missing: bool,
) -> Task:
    """Read the arguments of `NPE`.

    Raises:
        ValueError: Something cannot be learned as it is written.
    """
    bound, condition = _observe(model, args, kwargs, observed)
    refuse_latents(bound)
    refuse_subsampling(bound, "Leave out subsample_size.")
    refuse_parameters(bound)
    sites = bound.sites
    latent = choose_names(latent, "latent", [site.name for site in sites.latents])
    coordinates = Coordinates(bound, [site for site in sites.latents if site.name in latent])

    drawn, seen_in_model, types = latent, [], {}
    if simulator is None:
        seen_in_model = choose_names(observed, "observed", [site.name for site in sites.observed])
        types = read_types(bound, seen_in_model)
    else:
        drawn = [site.name for site in sites.latents]

    def make_source(seed: int) -> PairSource:
        of_model = ModelSimulator(bound, drawn, seen_in_model, seed)
        return PairSource(of_model, latent, simulator, vectorized, seed)

    def make_network(layout: Layout, num_members: int, seed: int) -> Network:
        built = build_network(coordinates.dim, layout, estimator, embedding, num_members, seed)
        return built.to(bound.device)

    if simulator is None:
        plate = find_exchangeable(bound, latent, seen_in_model) if exchangeable is None else ""
        known = [
            ObservedSite(
                site.name,
                site.unpadded_shape,
                site.dims.index(plate) if plate in site.dims else None,
            )
            for site in sites.observed
        ]
    else:
        known = make_source(0).try_out()
    seen = choose_sites(observed, known, exchangeable)
    # A density of the sites of interest alone the model has where there are no others.
    whole = simulator is None and len(latent) == len(sites.latents)
    whole &= len(seen) == len(sites.observed)
    return Task(
        bound,
        coordinates,
        seen,
        missing,
        make_source,
        make_network,
        types,
        condition if whole else None,
    )


def _observe(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    observed: str | Sequence[str] | None,
) -> tuple[BoundModel, Callable[[Mapping[str, torch.Tensor]], BoundModel]]:
    """The model with some data, and how it is bound to others.

    A site that is named and has no data, because the model is called without, gets those of a run.
    """
    bound = bind_model("NPE", model, args, kwargs)
    conditioned = condition_on(bound.model)

    def condition(data: Mapping[str, torch.Tensor]) -> BoundModel:
        return bind_model("NPE", conditioned, (dict(data), *bound.args), dict(bound.kwargs))

    named = [observed] if isinstance(observed, str) else list(observed or ())
    latent = {site.name for site in (*bound.sites.latents, *bound.sites.enumerated)}
    if latent.isdisjoint(named):
        return bound, condition
    with model_scope(), own_random_state(0), own_param_store(), torch.no_grad():
        trace = poutine.trace(bound.model).get_trace(*bound.args, **bound.kwargs)
    known = {site.name for site in bound.sites.observed} | (latent & set(named))
    return condition({name: trace.nodes[name]["value"] for name in known}), condition
