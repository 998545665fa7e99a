"""The first run of a model and a guide, which shows their parameters and plates."""

from __future__ import annotations

from typing import Any

import jax
from numpyro import handlers
from numpyro.infer import SVI
from numpyro.infer.autoguide import AutoGuide

from ppl_ext.numpyro.amortized.guide import AutoAmortized
from ppl_ext.training.minibatches import Batch, Minibatches
from ppl_ext.training.refusals import refuse_plates, refuse_row_parameters
from ppl_ext.training.streams import Stream

__all__ = ["Trace", "list_plates", "run_first", "trace_batch"]

Trace = dict[str, dict[str, Any]]


def run_first(
    rng_key: jax.Array, svi: SVI, batch: Batch, source: Minibatches | Stream
) -> tuple[Any, list[str]]:
    """Start parameters, and look at the plates.

    Args:
        rng_key: Random key.
        svi: The host's object with model and guide.
        batch: What the model is shown.
        source: Where the batch comes from.

    Returns:
        Parameters as optimisers see them, and the names of the model's sites.

    Raises:
        NotImplementedError: The model has state that is no parameter.
        ValueError: A plate or the guide does not go with minibatches.
    """
    state = svi.init(rng_key, *batch)
    if state.mutable_state:
        raise NotImplementedError(
            f"fit_minibatches: the model keeps state beside its parameters, "
            f"{sorted(state.mutable_state)}; expected none, since averages of parameters do not "
            "go with it. Use layers without running statistics (layer normalisation)."
        )
    params = svi.get_params(state)
    guide_key, model_key = jax.random.split(rng_key)
    guide_trace = trace_batch(svi.guide, params, guide_key, batch)
    replayed = handlers.replay(svi.model, guide_trace)
    model_trace = trace_batch(replayed, params, model_key, batch)
    plates = list_plates(model_trace)
    refuse_plates(source, len(batch[0]), plates)
    if isinstance(svi.guide, AutoGuide) and not isinstance(svi.guide, AutoAmortized):
        around = {
            name: {frame.name for frame in site["cond_indep_stack"]}
            for name, site in guide_trace.items()
            if site["type"] == "sample" and name in model_trace
        }
        refuse_row_parameters(type(svi.guide).__name__, around, plates)
    sites = [name for name, site in model_trace.items() if site["type"] == "sample"]
    return svi.optim.get_params(state.optim_state), sites


def list_plates(trace: Trace) -> dict[str, tuple[int, int]]:
    """``{plate: (rows of all data, rows that it shows)}``."""
    return {
        name: (site["args"][0], site["args"][1] or site["args"][0])
        for name, site in trace.items()
        if site["type"] == "plate"
    }


def trace_batch(function: Any, params: Any, rng_key: jax.Array, batch: Batch) -> Trace:
    """One run of a model or guide with its parameters, apart from what runs around it."""
    seeded = handlers.seed(handlers.substitute(function, params), rng_key)
    with handlers.block():
        trace: Trace = handlers.trace(seeded).get_trace(*batch)
    return trace
