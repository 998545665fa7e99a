"""A guide beside its model: do they go together?"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample

from ppl_ext.estimators.mismatch import DensityMismatch
from ppl_ext.pyro.objectives.discrete.mismatch import find_mismatches
from ppl_ext.pyro.tracing.batching import model_scope
from ppl_ext.pyro.tracing.find_sites import check_data
from ppl_ext.pyro.tracing.messages import is_data

__all__ = ["refuse_pair"]


def refuse_pair(
    caller: str,
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple,
    kwargs: Mapping[str, Any],
) -> tuple[DensityMismatch, ...]:
    """Runs a guide and its model once and refuses a pair that does not fit, and bad data.

    Returns:
        The sites at which a density stands against a probability.

    Raises:
        ValueError: If the guide lacks a latent site of the model or has one of another model, or
            if the data are not finite.
    """
    name = getattr(guide, "__name__", type(guide).__name__)
    with model_scope(), torch.no_grad():
        trace = poutine.trace(guide).get_trace(*args, **kwargs)
        model_trace = poutine.trace(poutine.replay(model, trace=trace)).get_trace(*args, **kwargs)
    sites = {
        site: message
        for site, message in trace.iter_stochastic_nodes()
        if not (site_is_subsample(message) or message["infer"].get("is_auxiliary"))
    }
    latents = {
        site: message
        for site, message in model_trace.iter_stochastic_nodes()
        if not site_is_subsample(message)
    }
    if not latents:
        raise ValueError(
            f"{caller}: the model has no latent site, where at least one is expected. Sample at "
            "least one site without obs=..., or pass the data as None where it is to be inferred."
        )
    if sites.keys() != latents.keys():
        raise ValueError(
            f"{caller}: the guide {name} follows the sites {sorted(sites)}, the model has "
            f"{sorted(latents)}; expected a guide of this model. Write a guide that samples each "
            "latent site once."
        )
    for site, message in latents.items():
        if message["fn"].shape() != sites[site]["fn"].shape():
            raise ValueError(
                f"{caller}: the guide {name} samples site {site!r} with shape "
                f"{tuple(sites[site]['fn'].shape())}, the model with "
                f"{tuple(message['fn'].shape())}; expected the same. Make a new guide for these "
                "data."
            )
    for message in model_trace.nodes.values():
        if message["type"] == "sample" and not site_is_subsample(message) and is_data(message):
            check_data(message, caller)
    return find_mismatches(trace, model_trace)
