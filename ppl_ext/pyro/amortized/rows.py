"""What a model shows of the rows of a plate: how many there are, their data, their supports."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

from ppl_ext.amortization.layout import RowLayout
from ppl_ext.amortization.refusals import check_batch
from ppl_ext.pyro.tracing.data.ordinary_data import mask_of
from ppl_ext.pyro.tracing.isolation import model_scope, own_random_state, whole_plates
from ppl_ext.pyro.tracing.run_at_point import bijection_of

__all__ = ["Shown", "Sites", "peek_rows", "read_rows", "run_model"]

Sites = Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class Shown:
    """A run of a model with all rows that it can show.

    Args:
        sites: The messages of its sites.
        rows: Which rows of the plate these are.
        whole: Whether its plates had to be asked for all of them.
    """

    sites: Sites
    rows: torch.Tensor
    whole: bool


class _Peek(Messenger):
    """Runs a model up to a plate; refuses plates that are to show more rows than they have."""

    def __init__(self, plate: str | None) -> None:
        super().__init__()
        self.plate = plate
        self.found: dict[str, Any] = {}

    def _pyro_sample(self, msg: dict) -> None:
        if site_is_subsample(msg):
            size, subsample_size = msg["fn"].size, msg["fn"].subsample_size
            check_batch(msg["name"], size, subsample_size)
            if msg["name"] == self.plate:
                self.found = {"size": size, "subsample_size": subsample_size}
                if msg["value"] is not None:
                    self.found |= {"subsample": msg["value"], "subsample_size": None}
                raise _SeenError
        else:
            _place(msg)


class _Middle(Messenger):
    """Puts latent sites where they are given, or in the middle of unconstrained space."""

    def __init__(self, given: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.given = given

    def _pyro_sample(self, msg: dict) -> None:
        if msg["name"] in self.given:
            msg["value"], msg["done"] = self.given[msg["name"]], True
        elif not site_is_subsample(msg):
            _place(msg)


class _SeenError(Exception):
    pass


def _place(msg: dict) -> None:
    transform = None if msg["is_observed"] else bijection_of(msg)
    if transform is not None:
        shape = transform.inverse_shape(msg["fn"].shape())
        msg["value"], msg["done"] = transform(torch.zeros(shape)), True


def peek_rows(
    model: Callable[..., Any], plate: str | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """How a plate is called: its size, and the rows that the model gives it or how many.

    Args:
        model: Pyro model.
        plate: Name of the plate; the run ends there. None to look at all plates.
        args: Positional arguments of the model.
        kwargs: Its keyword arguments.

    Raises:
        ValueError: A plate is to show more rows than it has.
    """
    with (
        model_scope(),
        torch.no_grad(),
        poutine.block(),
        _Peek(plate) as peek,
        suppress(_SeenError),
    ):
        model(*args, **kwargs)
    return peek.found


def run_model(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    given: Mapping[str, torch.Tensor],
    whole: bool = False,
    seed: int = 0,
) -> Sites:
    """Run a model unheard, its latent sites in the middle of unconstrained space.

    Args:
        model: Pyro model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        given: Values of latent sites and rows of plates.
        whole: Whether its plates show all of their rows.
        seed: Seed of what else it draws.

    Returns:
        The messages of its sites.
    """
    with (
        model_scope(),
        own_random_state(seed),
        torch.no_grad(),
        poutine.block(),
        whole_plates() if whole else nullcontext(),
    ):
        traced = poutine.trace(_Middle(given)(model)).get_trace(*args, **kwargs)
    return traced.nodes


def read_rows(sites: Sites, layout: RowLayout) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The observed values of the rows, ``[row, width]``, and which of them are not masked."""
    values, masks, masked = [], [], False
    for name, event_dim in layout.observed:
        msg = sites[name]
        value = msg["value"].detach().expand(msg["fn"].shape())
        mask = mask_of(msg)
        masked = masked or mask is not None
        there = torch.as_tensor(True if mask is None else mask, device=value.device)
        there = there.reshape(there.shape + (1,) * event_dim).expand(value.shape)
        for found, each in ((values, value), (masks, there)):
            rows = each.movedim(each.dim() - event_dim + layout.dim, 0)
            found.append(rows.reshape(len(rows), -1))
    features = torch.cat([value.to(torch.get_default_dtype()) for value in values], -1)
    return features, torch.cat(masks, -1) if masked else None
