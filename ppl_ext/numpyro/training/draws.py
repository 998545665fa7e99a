"""Draws of latent sites that all rows share, scored on data that come in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from ppl_ext.draws.draws import Draws
from ppl_ext.numpyro.tracing.compiled_density import batch_size
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_trace
from ppl_ext.numpyro.tracing.rng_keys import make_generator
from ppl_ext.numpyro.training.first_run import Trace, list_plates, trace_batch
from ppl_ext.training.minibatches import Batch, Minibatches
from ppl_ext.training.refusals import find_rows_plate, refuse_missing_rows, refuse_row_draws
from ppl_ext.training.streams import Stream

__all__ = ["draw_and_score"]

Program = Callable[..., Any]


def draw_and_score(
    rng_key: jax.Array,
    model: Program,
    guide: Program,
    params: Mapping[str, Any],
    source: Minibatches | Stream,
    num_draws: int,
) -> Draws:
    """Draw a guide once and score every draw on all batches.

    Args:
        rng_key: Random key.
        model: NumPyro model of a batch.
        guide: Its guide.
        params: Parameters of both.
        source: All rows.
        num_draws: Number of draws.

    Raises:
        ValueError: A latent site belongs to single rows, or the batches are not all rows once.
    """
    batches = source.once()
    first = next(batches)
    guide_trace = trace_batch(guide, params, rng_key, first)
    model_trace = trace_batch(handlers.replay(model, guide_trace), params, rng_key, first)
    plates = list_plates(model_trace)
    rows, latent = find_rows_plate(plates), _latent(model_trace)
    drawn = {
        name: _plates_around(site) for name, site in _latent(guide_trace).items() if name in latent
    }
    refuse_row_draws(rows, {name: set(around) for name, around in drawn.items()}, set(latent))
    size = plates[rows][0] if rows else len(first[0])

    def draw(key: jax.Array, batch: Batch) -> tuple[dict[str, jax.Array], jax.Array]:
        trace = trace_batch(guide, params, key, batch)
        log_q = sum(jnp.sum(term) for term in score_trace(trace).values())
        return {name: trace[name]["value"] for name in drawn}, log_q

    def score(values: dict[str, jax.Array], batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Log density of what all rows share, and of the rows of a batch."""
        run = handlers.substitute(model, values)
        trace = trace_batch(run, params, jax.random.key(0), batch)
        shared = of_rows = jnp.zeros(())
        for name, term in score_trace(trace).items():
            if rows in _plates_around(trace[name]):
                # Taken back: the plate lets the rows of a batch stand for all.
                of_rows += jnp.sum(term) * (trace[rows]["args"][1] / size)
            else:
                shared += jnp.sum(term)
        return shared, of_rows

    @jax.jit
    def score_all(values: dict[str, jax.Array], batch: Batch) -> tuple[jax.Array, jax.Array]:
        at_once = batch_size(sum(np.size(array) for array in batch))
        return jax.lax.map(lambda each: score(each, batch), values, batch_size=at_once)

    keys = jax.random.split(rng_key, num_draws)
    values, log_q = jax.jit(jax.vmap(draw, (0, None)))(keys, first)
    log_p, seen = np.zeros(num_draws), 0
    for batch in chain([first], batches):
        shared, of_rows = (np.asarray(each, np.float64) for each in score_all(values, batch))
        log_p += shared * (len(batch[0]) / size) + of_rows
        seen += len(batch[0])
    refuse_missing_rows(rows, size, seen)
    return Draws(
        values={name: np.asarray(value) for name, value in values.items()},
        log_p=log_p,
        log_q=np.asarray(log_q),
        dims=drawn,
        make_generator=make_generator,
    )


def _latent(trace: Trace) -> Trace:
    return {
        name: site
        for name, site in trace.items()
        if site["type"] == "sample" and not site["is_observed"]
    }


def _plates_around(site: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the plates, in the order of their axes."""
    frames = sorted(site["cond_indep_stack"], key=lambda frame: frame.dim)
    return tuple(frame.name for frame in frames)
