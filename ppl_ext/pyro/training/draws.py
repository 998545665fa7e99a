"""Draws of latent sites that all rows share, scored on data that come in batches."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine.util import site_is_subsample

from ppl_ext.draws.draws import Draws
from ppl_ext.pyro.tracing.arguments import refuse_invalid
from ppl_ext.pyro.tracing.batched_density import Arrays, Tensors, batch_size, over_draws
from ppl_ext.pyro.tracing.isolation import model_scope, own_random_state
from ppl_ext.pyro.tracing.vectorisation.operations import vectorised_noise
from ppl_ext.pyro.training.first_run import list_plates
from ppl_ext.pyro.training.parts import as_tensors
from ppl_ext.training.minibatches import Minibatches
from ppl_ext.training.refusals import find_rows_plate, refuse_missing_rows, refuse_row_draws
from ppl_ext.training.streams import Stream

__all__ = ["draw_and_score"]

Program = Callable[..., Any]


def draw_and_score(
    model: Program, guide: Program, source: Minibatches | Stream, num_draws: int, seed: int
) -> Draws:
    """Draw a guide once and score every draw on all batches, with the parameters of the store.

    Args:
        model: Pyro model of a batch.
        guide: Its guide.
        source: All rows.
        num_draws: Number of draws.
        seed: Seed of the draws.

    Raises:
        ValueError: A latent site belongs to single rows, or the batches are not all rows once.
    """
    batches = map(as_tensors, source.once())
    first = next(batches)
    with own_random_state(seed), model_scope(), torch.no_grad(), poutine.block():
        guide_trace = poutine.trace(guide).get_trace(*first)
        model_trace = poutine.trace(poutine.replay(model, guide_trace)).get_trace(*first)
    plates = list_plates(model_trace)
    rows, latent = find_rows_plate(plates), set(_latent(model_trace))
    sites = _latent(guide_trace)
    drawn = {name: _plates_around(site) for name, site in sites.items() if name in latent}
    refuse_row_draws(rows, {name: set(around) for name, around in drawn.items()}, latent)
    size = plates[rows][0] if rows else len(first[0])

    def draw(_: torch.Tensor) -> Tensors:
        trace = poutine.trace(guide).get_trace(*first)
        values = {name: trace.nodes[name]["value"] for name in drawn}
        return values | {"log_q": sum(_score(site).sum() for site in _scored(trace))}

    shapes: dict[str, tuple[int, ...]] = {
        name: tuple(sites[name]["value"].shape) for name in drawn
    }
    found = _over_draws(draw, num_draws, shapes | {"log_q": ()}, seed, first)
    log_q = found.pop("log_q")
    values = {
        name: torch.as_tensor(value).to(sites[name]["value"]) for name, value in found.items()
    }
    log_p, seen = np.zeros(num_draws), 0
    for batch in chain([first], batches):

        def score(index: torch.Tensor, batch: tuple[torch.Tensor, ...] = batch) -> Tensors:
            """Log density of what all rows share, and of the rows of a batch."""
            point = {name: each.index_select(0, index[None])[0] for name, each in values.items()}
            trace = poutine.trace(poutine.condition(model, point)).get_trace(*batch)
            terms = {True: torch.zeros(()), False: torch.zeros(())}
            for site in _scored(trace):
                belongs = rows in _plates_around(site)
                # Taken back: the plate lets the rows of a batch stand for all.
                share = len(trace.nodes[rows]["value"]) / size if belongs else 1.0
                terms[belongs] = terms[belongs] + _score(site).sum() * share
            return {"shared": terms[False], "rows": terms[True]}

        scored = _over_draws(score, num_draws, {"shared": (), "rows": ()}, seed, batch)
        log_p += scored["shared"] * (len(batch[0]) / size) + scored["rows"]
        seen += len(batch[0])
    refuse_missing_rows(rows, size, seen)
    return Draws(values=found, log_p=log_p, log_q=log_q, dims=drawn)


def _over_draws(
    one: Callable[[torch.Tensor], Tensors],
    num_draws: int,
    shapes: dict[str, tuple[int, ...]],
    seed: int,
    batch: tuple[torch.Tensor, ...],
) -> Arrays:
    at_once = batch_size(sum(array.numel() for array in batch))
    with own_random_state(seed), model_scope(), poutine.block():
        try:
            with vectorised_noise():
                return over_draws(one, torch.arange(num_draws), shapes, at_once, "different")
        except RuntimeError:
            # vmap cannot follow; if the fault is another one, it is raised again below.
            pass
    with own_random_state(seed), model_scope(), poutine.block():
        return over_draws(one, torch.arange(num_draws), shapes, 1)


def _latent(trace: poutine.Trace) -> dict[str, dict[str, Any]]:
    return {site["name"]: site for site in _scored(trace) if not site["is_observed"]}


def _scored(trace: poutine.Trace) -> list[dict[str, Any]]:
    """Sample sites; the draws of a plate's rows have no density."""
    return [
        site
        for site in trace.nodes.values()
        if site["type"] == "sample" and not site_is_subsample(site)
    ]


def _score(site: dict[str, Any]) -> torch.Tensor:
    log_prob = refuse_invalid(site["fn"], site["fn"].log_prob(site["value"]))
    return scale_and_mask(log_prob, site["scale"], site["mask"])


def _plates_around(site: dict[str, Any]) -> tuple[str, ...]:
    """Names of the plates, in the order of their axes."""
    frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
    return tuple(frame.name for frame in sorted(frames, key=lambda frame: frame.dim))
