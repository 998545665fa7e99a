"""What a model shows of the rows of a plate: how many there are, their data, their supports."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.primitives import Messenger

from ppl_ext.amortization.layout import RowLayout
from ppl_ext.amortization.refusals import check_batch
from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.find_sites import (
    WholePlates,
    mask_of,
    origin_of,
    put_unconstrained,
)

__all__ = ["CheckedBatches", "Shown", "Trace", "read_rows", "run_model"]

Trace = Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class Shown:
    """A run of a model with all rows that it can show.

    Args:
        trace: What it has sampled.
        rows: Which rows of the plate these are.
        bound: The model bound to its arguments, its plates asked for all of their rows where it
            has these.
    """

    trace: Trace
    rows: jax.Array
    bound: BoundModel


class CheckedBatches(Messenger):
    """Refuses plates that are to show more rows than they have, of which the host only warns."""

    def process_message(self, msg: dict[str, Any]) -> None:
        """Look at one plate."""
        if msg["type"] == "plate":
            check_batch(msg["name"], *msg["args"])


def run_model(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    given: Mapping[str, jax.Array],
    whole: bool = False,
) -> Trace:
    """Run a model unheard, its latent sites in the middle of unconstrained space.

    Args:
        model: NumPyro model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        given: Values of latent sites and rows of plates.
        whole: Whether its plates show all of their rows.
    """

    def read(site, transform):
        return None if site["name"] in given else origin_of(site, transform)

    seeded = handlers.substitute(handlers.seed(model, rng_seed=0), data=dict(given))
    placed = put_unconstrained(seeded, read)
    with handlers.block(), WholePlates() if whole else nullcontext(), CheckedBatches():
        return handlers.trace(placed).get_trace(*args, **kwargs)


def read_rows(trace: Trace, layout: RowLayout) -> tuple[jax.Array, jax.Array | None]:
    """The observed values of the rows, ``[row, width]``, and which of them are not masked."""
    values, masks, masked = [], [], False
    for name, event_dim in layout.observed:
        fn = trace[name]["fn"]
        value = jnp.broadcast_to(trace[name]["value"], fn.shape())
        mask = mask_of(fn, value.shape)
        masked = masked or mask is not None
        mask = jnp.ones(value.shape, bool) if mask is None else mask
        for found, each in ((values, value), (masks, mask)):
            rows = jnp.moveaxis(each, each.ndim - event_dim + layout.dim, 0)
            found.append(rows.reshape(rows.shape[0], -1))
    features = jnp.concatenate(values, -1).astype(jnp.result_type(float))
    return features, jnp.concatenate(masks, -1) if masked else None
