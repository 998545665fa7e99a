"""Draws of enumerated sites given the continuous ones and the data."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers

from ppl_ext.numpyro.tracing.enumeration.cliques import (
    BEFORE,
    Cliques,
    chained_sites,
    find_cliques,
)
from ppl_ext.numpyro.tracing.sites import Enumerated, Sites

__all__ = ["draw_assignments"]


def draw_assignments(
    model: Callable[[], Any], sites: Sites, rng_key: jax.Array
) -> Mapping[str, dict[str, Any]]:
    r"""Draw the enumerated sites from :math:`p(z \mid \theta, y)`.

    Site after site is drawn given those before it, the others summed out. What stands outside of
    a scan goes first, then the chain in it, and then what has no memory given its states; of
    several the one with fewer plates, for rows are independent given what stands around them.
    (The host's ``infer_discrete`` knows no scan, and ends in errors on plates with factors.)

    Args:
        model: The model without arguments, seeded, its other latent sites set.
        sites: What it is made of, with one chain in a scan at most.
        rng_key: Random key of the draw.

    Returns:
        A trace in which every site has one value.
    """
    drawn: dict[str, jax.Array] = {}
    waiting = list(sites.enumerated)
    while waiting:
        # The host enumerates what is merely substituted.
        cliques = find_cliques(handlers.condition(model, data=dict(drawn)), sites)
        chained = chained_sites(cliques.trace, sites)
        waiting.sort(key=lambda s: (s.scanned, s.name not in chained, len(s.plates)))
        # One look at the data serves all that hang on no other but by what is drawn already.
        fresh: dict[str, jax.Array] = {}
        while waiting:
            site, key = waiting[0], jax.random.fold_in(rng_key, len(waiting))
            if fresh and (site.scanned or not _follows(cliques, site.name, fresh)):
                break
            if site.scanned:
                fresh[site.name] = _draw_scanned(key, cliques, waiting.pop(0))
                break
            logits = cliques.logits(site.name, fresh).reshape(*site.shape, site.size)
            fresh[site.name] = jax.random.categorical(key, logits)
            waiting.pop(0)
        drawn |= fresh
    with handlers.block():
        return handlers.trace(handlers.substitute(model, data=drawn)).get_trace()


def _follows(cliques: Cliques, name: str, drawn: Mapping[str, jax.Array]) -> bool:
    """Whether a site hangs on what is drawn by the sites of its own distribution alone."""
    given = cliques.parents(name) & drawn.keys()
    return cliques.separates(given, name, drawn.keys() - given)


def _draw_scanned(rng_key: jax.Array, cliques: Cliques, site: Enumerated) -> jax.Array:
    """Draw the steps of a site in a scan, forwards where each hangs on the one before."""
    first_key, rest_key = jax.random.split(rng_key)
    before, rows = BEFORE + site.name, site.shape[1:]
    logits = cliques.logits(before, {}).reshape(*rows, site.size)
    first = jax.random.categorical(first_key, logits)
    if site.name not in cliques.probabilities:  # a scan of one step
        return first[None]
    chained = before in cliques.parents(site.name)
    pairs = cliques.logits(site.name, {}, kept=(before,) if chained else ())
    logits = pairs.reshape(-1, *rows, site.size if chained else 1, site.size)

    def step(state, per_step):
        logits, key = per_step
        at = state if chained else jnp.zeros_like(state)
        chosen = jnp.take_along_axis(logits, at[..., None, None], axis=-2)[..., 0, :]
        state = jax.random.categorical(key, chosen)
        return state, state

    keys = jax.random.split(rest_key, len(logits))
    rest = jax.lax.scan(step, first, (logits, keys))[1]
    return jnp.concatenate([first[None], rest])
