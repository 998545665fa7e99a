"""Who answers for discrete sites that are marked: the sum over their values, or the guide."""

from collections.abc import Callable
from typing import Any

import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from pyro.infer.autoguide import AutoGuide

from ppl_ext.fitting.settings import Deterministic, Stochastic
from ppl_ext.pyro.guides.flat import AbstractFlatGuide
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.enumeration.marks import is_marked
from ppl_ext.pyro.tracing.isolation import model_scope

__all__ = ["follow_guide", "make_guide", "refuse_objective"]


def make_guide(kind: Callable[..., Any], bound: BoundModel) -> Callable[..., Any]:
    """A guide of a class, for what is left of the model when marked sites are summed out.

    Args:
        kind: The class; the host's guides would follow every site, discrete ones too.
        bound: The model.
    """
    hosts = isinstance(kind, type) and issubclass(kind, AutoGuide)
    if not hosts or issubclass(kind, AbstractFlatGuide) or not bound.sites.enumerated:
        return kind(bound.model)
    return kind(
        poutine.block(bound.model, hide_fn=lambda msg: msg["type"] == "sample" and is_marked(msg))
    )


def follow_guide(bound: BoundModel, guide: Callable[..., Any] | None) -> BoundModel:
    """The model as a guide sees it: nothing is summed out of it that the guide draws.

    Args:
        bound: The model.
        guide: A guide that can be run; None for one of ours.
    """
    if not bound.sites.enumerated or guide is None or isinstance(guide, AbstractFlatGuide):
        return bound
    with model_scope(), torch.no_grad():
        drawn = poutine.trace(guide).get_trace(*bound.args, **bound.kwargs).nodes
    follows = any(site.name in drawn for site in bound.sites.enumerated)
    return bound.follow_discrete() if follows else bound


def refuse_objective(bound: BoundModel, settings: Deterministic | Stochastic | None) -> None:
    """Raise for an objective that would draw what is to be summed out.

    Args:
        bound: The model, as the guide sees it.
        settings: How the guide is fitted.

    Raises:
        ValueError: The model has enumerated sites and the objective does not sum.
    """
    elbo = settings.elbo if isinstance(settings, Stochastic) else None
    if not bound.sites.enumerated or elbo is None or isinstance(elbo, TraceEnum_ELBO):
        return
    names = [site.name for site in bound.sites.enumerated]
    raise ValueError(
        f"{bound.caller}: the objective {type(elbo).__name__} was given for a model whose sites "
        f"{names} are summed out and are not drawn by the guide; expected one that sums. Leave it "
        "out, or write Stochastic(elbo=pyro.infer.TraceEnum_ELBO(max_plate_nesting="
        f"{-1 - bound.sites.first_free_dim}))."
    )
