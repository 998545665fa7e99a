"""What is to be learned: sites of interest, observed sites, and where pairs come from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpyro import handlers

from ppl_ext.npe.answers.values import as_drawn, check_observation
from ppl_ext.npe.features import Layout, ObservedSite
from ppl_ext.npe.observation import choose_names, choose_sites, take_table
from ppl_ext.npe.pair_source import PairSource
from ppl_ext.numpyro.calibration.drawn_data import read_types
from ppl_ext.numpyro.calibration.simulation import condition_on
from ppl_ext.numpyro.npe.coordinates import Coordinates
from ppl_ext.numpyro.npe.network import Network, build_network
from ppl_ext.numpyro.npe.simulation import ModelSimulator, find_exchangeable
from ppl_ext.numpyro.tracing.bound_model import BoundModel, bind_model, x64_scope
from ppl_ext.numpyro.tracing.refusals import refuse_latents, refuse_parameters, refuse_subsampling
from ppl_ext.numpyro.tracing.rng_keys import whole_seed_from
from ppl_ext.numpyro.tracing.sites import Observed
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
        make_source: ``rng_key -> PairSource``.
        make_network: ``layout -> Network``.
        types: ``{observed site: type}`` in which the model draws them; empty for a simulator.
        condition: Binds the model to data ``{site: array}``; None where it has no density of the
            sites of interest alone.
    """

    bound: BoundModel
    coordinates: Coordinates
    observed: tuple[ObservedSite, ...]
    missing: bool
    make_source: Callable[[jax.Array], PairSource]
    make_network: Callable[[Layout], Network]
    types: Mapping[str, np.dtype]
    condition: Callable[[Mapping[str, np.ndarray]], BoundModel] | None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Unconstrained shapes of the sites of interest."""
        return {site.name: site.shape for site in self.coordinates.sites}

    def take_table(
        self, latent: Mapping[str, np.ndarray], observed: Mapping[str, np.ndarray]
    ) -> Simulations:
        """Pairs that came from elsewhere, after a look at their sites and shapes."""
        return take_table(latent, self.coordinates.shapes, observed, self.observed)

    def read(self, x: Any) -> tuple[dict[str, np.ndarray], bool]:
        """One observation or many, and whether there are many."""
        return check_observation(x, self.observed, self.missing)

    def bind(self, observed: Mapping[str, np.ndarray]) -> BoundModel | None:
        """The model with one observation as its data, where it can score it."""
        whole = all(np.isfinite(x).all() for x in observed.values())
        if self.condition is None or not whole:
            return None
        data = {
            site.name: as_drawn(
                site.name, observed[site.name][0], self.types[site.name], site.discrete
            )
            for site in self.bound.sites.observed
        }
        with x64_scope(self.bound.x64):
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
    coordinates = Coordinates.read(bound, latent)

    drawn, seen_in_model, types = latent, [], {}
    if simulator is None:
        seen_in_model = choose_names(observed, "observed", [site.name for site in sites.observed])
        types = read_types(bound, seen_in_model)
    else:
        drawn = [site.name for site in sites.latents]

    def make_source(rng_key: jax.Array) -> PairSource:
        of_model = ModelSimulator(bound, drawn, seen_in_model, rng_key)
        seed = whole_seed_from(rng_key)
        return PairSource(of_model, latent, simulator, vectorized, seed)

    if simulator is None:
        plate = find_exchangeable(bound, latent, seen_in_model) if exchangeable is None else ""
        known = [
            ObservedSite(site.name, site.expected_shape, _axis_of(site, plate))
            for site in sites.observed
        ]
    else:
        known = make_source(jax.random.key(0)).try_out()
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
        lambda layout: build_network(coordinates.dim, layout, estimator, embedding),
        types,
        condition if whole else None,
    )


def _observe(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    observed: str | Sequence[str] | None,
) -> tuple[BoundModel, Callable[[Mapping[str, np.ndarray]], BoundModel]]:
    """The model with some data, and how it is bound to others.

    A site that is named and has no data, because the model is called without, gets those of a run.
    """
    bound = bind_model("NPE", model, args, kwargs)
    args, kwargs = bound.given
    conditioned = condition_on(bound.model)

    def condition(data: Mapping[str, np.ndarray]) -> BoundModel:
        return bind_model("NPE", conditioned, (dict(data), *args), kwargs)

    named = [observed] if isinstance(observed, str) else list(observed or ())
    latent = {site.name for site in bound.sites.latents}
    if latent.isdisjoint(named):
        return bound, condition
    with x64_scope(bound.x64), handlers.block():
        run = handlers.seed(bound.call.run, 0)
        trace = handlers.trace(run).get_trace(bound.arrays)
    data = {name: np.asarray(trace[name]["value"]) for name in named if name in trace}
    known = {site.name: np.asarray(trace[site.name]["value"]) for site in bound.sites.observed}
    return condition({**known, **data}), condition


def _axis_of(site: Observed, plate: str) -> int | None:
    """The axis of a plate in the data of a site, None where it does not stand in it."""
    batch_ndim = len(site.expected_shape) - site.event_dim
    axes = [batch_ndim + each.dim for each in site.plates if each.name == plate]
    return axes[0] if axes else None
