"""The first run of a model and a guide, which shows their parameters and plates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.infer.autoguide import AutoGuide
from pyro.poutine.util import site_is_subsample

from ppl_ext.pyro.training.parts import as_tensors
from ppl_ext.training.minibatches import Batch, Minibatches
from ppl_ext.training.refusals import refuse_plates, refuse_row_parameters
from ppl_ext.training.streams import Stream

__all__ = ["list_plates", "run_first"]


def run_first(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    batch: Batch,
    source: Minibatches | Stream,
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Run guide and model once.

    Args:
        model: Pyro model.
        guide: Pyro guide.
        batch: What it is shown.
        source: Where the batch comes from.

    Returns:
        Their parameters as optimisers see them, and the names of the model's sites.

    Raises:
        ValueError: There is no parameter, they are of different precisions, or a plate or the
            guide does not go with minibatches.
    """
    args = as_tensors(batch)
    with torch.no_grad(), poutine.block():
        guide_trace = poutine.trace(guide).get_trace(*args)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(*args)
    plates = list_plates(model_trace)
    refuse_plates(source, len(args[0]), plates)
    if isinstance(guide, AutoGuide):
        around = {
            name: {frame.name for frame in site["cond_indep_stack"]}
            for name, site in guide_trace.nodes.items()
            if site["type"] == "sample"
            and name in model_trace.nodes
            and not site_is_subsample(site)
        }
        refuse_row_parameters(type(guide).__name__, around, plates)
    store = pyro.get_param_store()
    names = [*guide_trace.param_nodes, *model_trace.param_nodes]
    leaves = {name: store._params[name] for name in names}
    dtypes = sorted({str(leaf.dtype) for leaf in leaves.values()})
    if not leaves:
        raise ValueError(
            "fit_minibatches: model and guide have no parameters; expected some to train. Write "
            "AutoAmortized(model) for the guide, or pyro.param statements."
        )
    if len(dtypes) > 1:
        raise ValueError(
            f"fit_minibatches: model and guide have parameters of types {dtypes}; expected one "
            "precision. Convert modules: net.float()."
        )
    sites = [name for name, site in model_trace.nodes.items() if site["type"] == "sample"]
    return leaves, sites


def list_plates(trace: poutine.Trace) -> dict[str, tuple[int, int]]:
    """``{plate: (rows of all data, rows that it shows)}``."""
    return {
        name: (site["fn"].size, len(site["value"]))
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and site_is_subsample(site)
    }
