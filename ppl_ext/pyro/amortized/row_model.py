"""A model whose rows an encoder reads, and what it reads of them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from pyro import poutine

from ppl_ext.amortization.layout import RowLayout, lay_out_rows
from ppl_ext.amortization.reading import (
    check_alike,
    check_features,
    refuse_features,
    refuse_nothing_to_read,
)
from ppl_ext.amortization.refusals import refuse_local, require_layout
from ppl_ext.pyro.amortized.rows import Shown, Sites, peek_rows, read_rows, run_model
from ppl_ext.pyro.guides.peeking import find_moving_supports
from ppl_ext.pyro.tracing.bound_model import BoundModel, bind_model
from ppl_ext.pyro.tracing.data.ordinary_data import mask_of
from ppl_ext.pyro.tracing.refusals import refuse_data, refuse_latents

__all__ = ["RowModel"]

_CALLER = "AutoAmortized"


class RowModel:
    """A model, and what an encoder reads of it.

    Args:
        model: Pyro model.
        plate: Plate whose rows are encoded, or None.
        features: Function of the model's arguments, or None.
    """

    def __init__(
        self, model: Callable[..., Any], plate: str | None, features: Callable[..., Any] | None
    ) -> None:
        self.model, self.plate, self.features = model, plate, features
        self._layout: RowLayout | None = None

    @property
    def layout(self) -> RowLayout:
        """The sites of the model."""
        return require_layout(self._layout, "guide.setup(*args, **kwargs)")

    @property
    def ready(self) -> bool:
        """Whether the model has been looked at."""
        return self._layout is not None

    def set_up(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> RowLayout:
        """Look at the model."""
        self._layout = self.check_data(args, kwargs)
        return self._layout

    def check_data(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> RowLayout:
        """The sites of the model with these arguments.

        Raises:
            ValueError: It has sites that cannot be followed, or data that are not finite.
        """
        peek_rows(self.model, None, args, kwargs)
        shown, whole = _bind(self.model, args, kwargs)
        refuse_latents(shown)
        layout = lay_out_rows(shown.sites, self.plate)
        check_alike(self._layout, layout)
        sites = run_model(self.model, args, kwargs, {})
        latents = {each.name: sites[each.name] for each in shown.sites.latents}
        moving = find_moving_supports(_CALLER, self.model, latents, args, dict(kwargs))
        for name, msg in latents.items():
            masked = mask_of(msg) is not None
            refuse_local(name, moving=name in moving, masked=masked, mask="poutine.mask")
        refuse_data(whole)
        self._refuse_own_rows(layout, args, kwargs)
        if self.features is None:
            refuse_nothing_to_read(layout)
        return layout

    def _refuse_own_rows(
        self, layout: RowLayout, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Raise for a model that draws rows for a plate, and then does not ask the plate for them.

        Those of the guide are handed to the plate, and the data would be those of others.
        """
        called = peek_rows(self.model, layout.plate, args, kwargs)
        if "subsample" not in called or not layout.observed:
            return
        given = {layout.plate: torch.as_tensor(called["subsample"])}
        first, second = (
            read_rows(run_model(self.model, args, kwargs, given, seed=seed), layout)[0]
            for seed in (0, 1)
        )
        if not torch.equal(first.nan_to_num(), second.nan_to_num()):
            raise ValueError(
                f"{_CALLER}: the data in plate {layout.plate!r} are other ones in every run with "
                "the same rows; expected those of the plate's rows. Write: with pyro.plate("
                f"{layout.plate!r}, size, subsample=rows) as i: ... obs=x[i]."
            )

    def run_whole(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Shown:
        """A run of the model with all rows that it can show."""
        shown, bound = _bind(self.model, args, kwargs)
        whole = bound is not shown
        sites = run_model(self.model, args, kwargs, {}, whole=whole)
        plate = sites[self.layout.plate]
        if len(plate["value"]) < plate["fn"].size:
            # The model gives the plate its rows: of all data, or of a minibatch it is handed.
            every = torch.arange(plate["fn"].size, device=plate["value"].device)
            with suppress(IndexError, RuntimeError, ValueError):
                found = run_model(self.model, args, kwargs, {self.layout.plate: every})
                read_rows(found, self.layout)
                return Shown(found, every, whole=False)
        return Shown(sites, plate["value"], whole)

    def read(
        self,
        sites: Sites,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        rows: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What the encoder reads of rows, ``[row, ...]``, and which values are there."""
        if self.features is None:
            return read_rows(sites, self.layout)
        found = torch.as_tensor(self.features(*args, **kwargs))
        size = sites[self.layout.plate]["fn"].size
        check_features(found.shape, self.layout, size, len(rows))
        found = found[rows] if len(found) == size else found
        refuse_features(int((~found.isfinite()).sum()))
        return found, None


def _bind(
    model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[BoundModel, BoundModel]:
    """The model, and the model with all rows of its plates: the same if it takes minibatches."""
    # A guide that is set up in the middle of a run must not be heard by the run's handlers.
    with poutine.block():
        bound = bind_model(_CALLER, model, args, kwargs)
        try:
            whole = bound.whole
        except ValueError:
            return bound, bound
    # One row that is handed over would be repeated for all.
    alone = any(plate.subsamples and plate.subsample_size == 1 for plate in bound.sites.plates)
    wrong = alone and any(site.problem for site in whole.sites.observed)
    return bound, bound if wrong else whole
