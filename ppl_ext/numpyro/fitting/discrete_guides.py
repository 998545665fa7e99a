"""Who answers for discrete sites that are marked: the sum over their values, or the guide."""

from collections.abc import Callable
from typing import Any

from numpyro import handlers
from numpyro.infer.autoguide import AutoGuide

from ppl_ext.numpyro.guides.flat import AbstractFlatGuide
from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.refusals import read_guide

__all__ = ["leave_to", "show_to"]


def show_to(kind: type, bound: BoundModel) -> Callable[..., Any]:
    """The model as a guide of this class may see it: those of the host take no discrete site."""
    names = [site.name for site in bound.sites.enumerated]
    if not names or issubclass(kind, AbstractFlatGuide):
        return bound.model
    return handlers.block(bound.model, hide=names)


def leave_to(guide: Callable[..., Any] | None, bound: BoundModel) -> BoundModel:
    """The model, its marked discrete sites not summed out where a user's guide draws them."""
    # The host's automatic guides draw none, and keep what they see in a trace.
    if guide is None or isinstance(guide, AutoGuide) or not bound.sites.enumerated:
        return bound
    drawn = read_guide(bound, handlers.seed(guide, 0), {})
    return bound.unsummed if any(s.name in drawn for s in bound.sites.enumerated) else bound
