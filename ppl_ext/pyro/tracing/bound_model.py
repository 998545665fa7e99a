"""A Pyro model with its arguments bound: made once for a fit and handed to all that need it."""

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from pyro import poutine

from ppl_ext.byte_order import to_native
from ppl_ext.density import Site
from ppl_ext.gaussian_vi.location_scale import PartialCentering
from ppl_ext.pyro.tracing.batched_density import to_points
from ppl_ext.pyro.tracing.centering import Centering
from ppl_ext.pyro.tracing.data.data_kinds import DataError, blame_arguments, to_tensors
from ppl_ext.pyro.tracing.data.ordinary_data import OrdinaryData
from ppl_ext.pyro.tracing.data.snapshot import take_snapshot
from ppl_ext.pyro.tracing.enumeration.all_values import AllValues
from ppl_ext.pyro.tracing.enumeration.assignments import draw_assignments
from ppl_ext.pyro.tracing.enumeration.inspection import Enumeration, inspect_run
from ppl_ext.pyro.tracing.find_sites import trace_sites
from ppl_ext.pyro.tracing.held_parameters import HeldStore
from ppl_ext.pyro.tracing.isolation import (
    model_scope,
    one_row_more,
    own_param_store,
    own_random_state,
    whole_plates,
)
from ppl_ext.pyro.tracing.observed_data import read_data
from ppl_ext.pyro.tracing.run_at_point import Replay, Visit
from ppl_ext.pyro.tracing.sites import Sites

__all__ = ["BoundModel", "bind_model"]


@dataclass(frozen=True, eq=False)
class BoundModel:
    """A model with its arguments bound.

    Args:
        caller: Name of the public object on whose behalf errors speak.
        model: The model, with what it read when it was bound.
        args: Its positional arguments, tensors and arrays as copies, so that a buffer that is
            filled anew later does not change a finished fit.
        kwargs: Its keyword arguments, likewise.
        sites: What the model is made of.
        observed: The data by site, without dimensions that only pad them.
        pieces: Shape and dtype of the unconstrained value of each latent site that has one.
        start: The point of the first run.
        work: Floats that one run holds whose discrete sites have one value each.
        dtype: Type of the flat unconstrained vector.
        device: Where the model runs.
        centering: The sites whose coordinates are not those in which they are written.
        held: The parameters that the model is held at; None where it has none, or they are free.
    """

    caller: str
    model: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    sites: Sites
    observed: Mapping[str, np.ndarray]
    pieces: Mapping[str, tuple[torch.Size, torch.dtype]]
    start: Mapping[str, torch.Tensor]
    work: int
    dtype: torch.dtype
    device: torch.device
    centering: Mapping[str, PartialCentering] = field(default_factory=dict)
    held: HeldStore | None = None

    @property
    def has_density(self) -> bool:
        """Whether there is one log density on unconstrained space for the model to have."""
        followed = all(site.unconstrained_shape is not None for site in self.sites.latents)
        return followed and not (self.sites.subsamples or self.sites.parameters)

    @property
    def dim(self) -> int:
        """Number of unconstrained coordinates, of the latent sites that have some."""
        return sum(shape.numel() for shape, _ in self.pieces.values())

    @functools.cached_property
    def coordinates(self) -> tuple[Site, ...]:
        """The latent sites and their slices of unconstrained space, in the order of the model."""
        found, stop = [], 0
        for latent in self.sites.latents:
            start, stop = stop, stop + self.pieces[latent.name][0].numel()
            found.append(Site(latent.name, latent.shape, start, stop, latent.dims))
        return tuple(found)

    @functools.cached_property
    def whole(self) -> "BoundModel":
        """The same model, shown every row of its plates.

        Raises:
            ValueError: It cannot see all rows.
        """
        if not self.sites.subsamples:
            return self
        try:
            for rows in (one_row_more, whole_plates):
                with rows():
                    seen = _look(self.caller, self.model, self.args, self.kwargs)
            return seen if self.sites.enumerated else seen.follow_discrete()
        except (IndexError, RuntimeError, ValueError) as error:
            self.sites.refuse_minibatches(error)

    def centred(self, sites: Mapping[str, PartialCentering]) -> "BoundModel":
        """The same model with these location-scale sites in other coordinates."""
        bound = _look(self.caller, Centering(sites)(self.model), self.args, self.kwargs)
        bound = replace(bound, centering=sites)
        return bound if self.held is None else bound.hold(self.held)

    @functools.cached_property
    def scored(self) -> Callable[..., Any]:
        """The model as densities and losses see it: its data are such as can be scored."""
        return OrdinaryData()(self.model)

    def hold(self, parameters: HeldStore) -> "BoundModel":
        """The same model with its parameters held at values; it has none left."""
        return replace(self, held=parameters, sites=replace(self.sites, parameters=()))

    def in_force(self) -> AbstractContextManager:
        """Context in which the parameters that the model is held at are those of the host."""
        return nullcontext() if self.held is None else self.held.in_force()

    @property
    def settled(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the values that a draw has before enumerated sites are drawn."""
        skipped = self.enumeration.assigned if self.enumeration else ()
        return {name: shape for name, shape in self.sites.valued.items() if name not in skipped}

    @property
    def num_floats(self) -> int:
        """Floats that one run of the model holds at its sites."""
        return self.enumeration.work if self.enumeration else self.work

    def follow_discrete(self) -> "BoundModel":
        """The same model with no site summed out, for a guide that draws them all."""
        return replace(self, sites=self.sites.follow_discrete())

    @functools.cached_property
    def enumeration(self) -> Enumeration | None:
        """What hangs on the enumerated sites, None where there are none.

        Raises:
            ValueError: They cannot be summed out as the model is written.
        """
        if not self.sites.enumerated:
            return None
        start = Visit(dict(self.start), self.caller, self._first_dim)
        with model_scope(), own_random_state(0), own_param_store(), torch.no_grad():
            return inspect_run(self.caller, self.sites, lambda: self._enter(start))

    @property
    def _first_dim(self) -> int | None:
        return self.sites.first_free_dim if self.sites.enumerated else None

    def run(self) -> Any:
        """Runs the model."""
        return self.scored(*self.args, **self.kwargs)

    def points(self, z: np.ndarray) -> torch.Tensor:
        """The same points in the precision and on the device of the model; see `to_points`."""
        return to_points(self.caller, z, self.dim).to(self.dtype).to(self.device)

    def visit(self, z: torch.Tensor) -> Visit:
        """Runs the model with its latent sites at z[dim]."""
        split = z.split([shape.numel() for shape, _ in self.pieces.values()])
        point = {
            name: part.view(shape).to(dtype)
            for part, (name, (shape, dtype)) in zip(split, self.pieces.items(), strict=True)
        }
        return self._enter(Visit(point, self.caller, self._first_dim))

    def replay(self, point: dict[str, torch.Tensor]) -> Replay:
        """Runs the model with its latent sites, and its minibatches, as they were drawn."""
        with poutine.block():
            return self._enter(Replay(point, self._first_dim))

    def assign(self, visit: Visit) -> Visit:
        """Runs the model once more, its enumerated sites drawn given the rest of a run."""
        if not self.sites.enumerated:
            return visit
        shapes = {site.name: site.shape for site in self.sites.enumerated}
        point = {site.name: visit.sites[site.name]["value"] for site in self.sites.latents}
        point |= draw_assignments(visit.factors, visit.sites, shapes)
        with poutine.block(), Replay(point) as assigned:
            self.run()
        return assigned

    def _enter(self, visit: Visit) -> Visit:
        with visit, AllValues(visit.first_dim) if self.sites.enumerated else nullcontext():
            self.run()
        return visit


def bind_model(
    caller: str, model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> BoundModel:
    """Bind arguments to a model and find its sites.

    Args:
        caller: Name of the public object on whose behalf errors speak.
        model: Pyro model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.

    Raises:
        ValueError: A plate is empty, or the model stopped over integer arguments.
    """
    model, args, kwargs = take_snapshot((model, *to_native((tuple(args), dict(kwargs)))))
    try:
        return _look(caller, model, args, kwargs)
    except (AttributeError, TypeError) as error:
        # A model may ask a series for what only a series has; another cannot reckon with it.
        blamed = blame_arguments(model, args, kwargs)
        if not blamed:
            raise
        try:
            return _look(caller, model, *to_tensors((args, kwargs)))
        except (AttributeError, TypeError):
            raise ValueError(f"{caller}: {blamed}.") from error


def _look(caller: str, model: Callable, args: tuple, kwargs: Mapping[str, Any]) -> BoundModel:
    with model_scope(), own_random_state(0), own_param_store(), torch.no_grad():
        try:
            sites, visit = trace_sites(caller, model, args, kwargs)
        except DataError as error:
            raise ValueError(f"{caller}: {error}.") from error
    parts = [*visit.point.values(), *visit.terms.values()]
    dtypes = [part.dtype for part in visit.point.values()] or [torch.get_default_dtype()]
    return BoundModel(
        caller=caller,
        model=model,
        args=args,
        kwargs=kwargs,
        sites=sites,
        observed=read_data(sites, visit.sites),
        pieces={name: (part.shape, part.dtype) for name, part in visit.point.items()},
        start=visit.point,
        work=visit.num_floats,
        dtype=functools.reduce(torch.promote_types, dtypes),
        device=parts[0].device if parts else torch.device("cpu"),
    )
