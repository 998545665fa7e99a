"""Draws of enumerated sites of a model with the host's scan."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers

from ppl_ext.numpyro.tracing.enumeration.marks import is_enumerated
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_site
from ppl_ext.numpyro.tracing.enumeration.sum_out import sum_out
from ppl_ext.numpyro.tracing.sites import Enumerated, Sites

__all__ = ["chained_sites", "draw_with_scan"]

Trace = Mapping[str, dict[str, Any]]

# The host's names for the first step of a scan, and for a site one step back.
_BEFORE = "_PREV_"


def chained_sites(trace: Trace, sites: Sites) -> list[str]:
    """Names of the scanned sites that the next step hangs on."""
    remembered = {
        name
        for site in trace.values()
        if site["type"] == "sample" and not site["name"].startswith(_BEFORE)
        for name in site["infer"]["dim_to_name"].values()
    }
    return [s.name for s in sites.enumerated if s.scanned and _BEFORE + s.name in remembered]


def draw_with_scan(
    model: Callable[[], Any], sites: Sites, rng_key: jax.Array
) -> dict[str, jax.Array]:
    r"""Draw site by site, each given those before it, the others summed out.

    The gradient of the log density by the log factor of a site is the probability of its values,
    along a chain that of the pairs :math:`p(z_{t-1}, z_t \mid \theta, y)`: from them a chain is
    drawn forwards. What stands outside of the scan goes first, then the chain, and then what has
    no memory given its states; rows of a plate are independent given what stands around it.

    Args:
        model: The model without arguments, seeded, its other latent sites set.
        sites: What it is made of; one chain at most.
        rng_key: Random key of the draw.

    Returns:
        ``{site: value}``.

    References:
        Darwiche (2003), A Differential Approach to Inference in Bayesian Networks, Journal of
        the ACM 50(3).
    """
    chained = chained_sites(sum_out(model, sites)[1], sites)
    order = sorted(
        sites.enumerated, key=lambda s: (s.scanned, s.name not in chained, len(s.plates))
    )
    drawn: dict[str, jax.Array] = {}
    for i, site in enumerate(order):
        # The host enumerates what is merely substituted.
        placed = handlers.condition(model, data=dict(drawn))
        drawn[site.name] = _draw_site(placed, site, sites, jax.random.fold_in(rng_key, i))
    return drawn


def _draw_site(
    model: Callable[[], Any], site: Enumerated, sites: Sites, rng_key: jax.Array
) -> jax.Array:
    trace = sum_out(model, sites)[1]
    names = [name for name in (_BEFORE + site.name, site.name) if name in trace]
    shifts = {name: jnp.zeros(jnp.shape(score_site(trace[name]))) for name in names}
    probabilities = jax.grad(lambda shifts: sum_out(model, sites, shifts)[0])(shifts)
    if not site.scanned:
        logits = _arrange(trace, site.name, probabilities[site.name], [])
        return _draw(rng_key, logits.reshape(*site.shape, site.size))
    first_key, rest_key = jax.random.split(rng_key)
    before, rows = names[0], site.shape[1:]
    logits = _arrange(trace, before, probabilities[before], [])
    first = _draw(first_key, logits.reshape(*rows, site.size))
    if len(names) == 1:
        return first[None]
    pairs = _arrange(trace, site.name, probabilities[site.name], [before])
    chained = before in trace[site.name]["infer"]["name_to_dim"]
    # Without a memory every state before has the same probabilities after it.
    logits = pairs.reshape(-1, *rows, site.size if chained else 1, site.size)

    def step(state, per_step):
        logits, key = per_step
        at = state[..., None, None] if chained else jnp.zeros_like(state)[..., None, None]
        state = _draw(key, jnp.take_along_axis(logits, at, axis=-2)[..., 0, :])
        return state, state

    keys = jax.random.split(rest_key, len(logits))
    rest = jax.lax.scan(step, first, (logits, keys))[1]
    return jnp.concatenate([first[None], rest])


def _arrange(trace: Trace, name: str, probability: jax.Array, kept: list[str]) -> jax.Array:
    """Logarithms of probabilities: time and plates, then the sites kept, the site itself last."""
    dims = trace[name]["infer"]["name_to_dim"]
    own = [dims[other] for other in (*kept, name) if other in dims]
    others = [
        dim
        for other, dim in dims.items()
        if dim not in own and other in trace and is_enumerated(trace[other])
    ]
    summed = jnp.sum(probability, axis=tuple(others), keepdims=True)
    return jnp.log(jnp.moveaxis(summed, own, range(-len(own), 0)))


def _draw(rng_key: jax.Array, logits: jax.Array) -> jax.Array:
    return jax.random.categorical(rng_key, logits)
