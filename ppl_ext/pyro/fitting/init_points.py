"""Starts of a stochastic fit that really differ."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pyro.infer.autoguide import AutoGuide, AutoGuideList

from ppl_ext.fitting.settings import Stochastic
from ppl_ext.pyro.fitting.svi_run import SVIRun
from ppl_ext.pyro.guides.flat import AbstractFlatGuide
from ppl_ext.pyro.tracing.bound_model import BoundModel

__all__ = ["FirstStart", "begin_run"]

_RADIUS = 2.0  # as the host's init_to_uniform
_NOISE = 0.5

# The parameters of the first start, themselves and as they were before any step.
FirstStart = dict[str, tuple[torch.Tensor, torch.Tensor]]


def begin_run(
    bound: BoundModel,
    guide: Callable[..., Any],
    settings: Stochastic,
    store: dict,
    first: FirstStart,
) -> SVIRun:
    """Starts the parameters of model and guide elsewhere than the first start did.

    A guide of this package starts at a random point, a guide of the host at another draw of its
    strategy, and parameters that would start as before are moved by noise.

    Args:
        bound: The model.
        guide: The guide.
        settings: Optimiser and objective.
        store: State of the parameter store that is in force.
        first: Empty for the first start, which is the guide's own and is recorded here.
    """
    run = SVIRun(bound, guide, settings, store)
    if not first:
        if isinstance(guide, AbstractFlatGuide):
            guide.setup(*bound.args, **bound.kwargs)
        run.look()
        first |= {name: (leaf, leaf.detach().clone()) for name, leaf in run.leaves.items()}
        return run
    _forget_start(guide)
    run.look()
    own = set()
    if isinstance(guide, AbstractFlatGuide):
        _scatter(guide)
        own = {id(parameter) for parameter in guide.parameters()}
    with torch.no_grad():
        for name, leaf in run.leaves.items():
            before, value = first.get(name, (None, None))
            if before is None or id(leaf) in own:
                continue
            # A module keeps its parameters from start to start, by now trained.
            if leaf is before or torch.equal(leaf, value):
                leaf.copy_(value + _NOISE * torch.randn_like(value))
    return run


def _scatter(guide: AbstractFlatGuide) -> None:
    loc, scale = guide.gaussian()
    width = np.full(len(loc), guide._init_scale)
    point = _RADIUS * (2 * torch.rand(len(loc), dtype=torch.float64) - 1)
    guide.set_gaussian(point.numpy(), width if scale.ndim == 1 else np.diag(width))


def _forget_start(guide: Callable[..., Any]) -> None:
    """Has a guide of the host look at the model again: it keeps the start of its first call."""
    if isinstance(guide, AutoGuideList):
        for part in guide:
            _forget_start(part)
    if isinstance(guide, AutoGuide) and not isinstance(guide, AbstractFlatGuide):
        guide.prototype_trace = None
