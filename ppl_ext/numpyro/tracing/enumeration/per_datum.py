"""The log likelihood of every datum, its own enumerated sites summed out."""

import functools
import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ppl_ext.numpyro.tracing.enumeration.marks import is_enumerated
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_site
from ppl_ext.numpyro.tracing.sites import Sites

__all__ = ["score_data"]

Trace = Mapping[str, dict[str, Any]]


def score_data(trace: Trace, plain: Trace, sites: Sites) -> dict[str, jax.Array]:
    """Score every datum that has a likelihood of its own once enumerated sites are summed out.

    A datum whose assignments are its own, as in a mixture, has one. Data that share an assignment,
    or whose assignments follow from one another as in a hidden Markov model, have one together,
    and are left out.

    Args:
        trace: The host's trace, enumerated sites along dimensions of their own.
        plain: A run of the model with one value of each.
        sites: What the model is made of.

    Returns:
        ``{site: array}``, shaped by the plates of the site.
    """
    import funsor

    factors = {name: _inputs(site) for name, site in trace.items()}
    enumerated = {name for name, site in trace.items() if is_enumerated(site)}
    loose = {name for name, *_ in sites.loose}
    scored = {}
    for site in sites.observed:
        own = _own_assignments(site.name, trace, factors, enumerated)
        if own is not None and not own:
            scored[site.name] = score_site(plain[site.name], scaled=False)
        if not own or site.name in loose:
            continue
        terms = [_as_funsor(trace[name]) for name in (site.name, *sorted(own))]
        total = functools.reduce(operator.add, terms).reduce(funsor.ops.logaddexp, own)
        dims = {plate.name: plate.dim for plate in site.plates}
        log_prob = funsor.to_data(total, name_to_dim=dims)
        shape = site.shape[: len(site.shape) - site.event_dim]
        # The host leaves plates of one row out.
        scored[site.name] = jnp.reshape(jnp.broadcast_to(log_prob, shape), shape)
    return scored


def _inputs(site: Mapping[str, Any]) -> set[str]:
    return set(site["infer"]["dim_to_name"].values()) if site["type"] == "sample" else set()


def _as_funsor(site: Mapping[str, Any]) -> Any:
    import funsor

    log_prob, names = score_site(site), site["infer"]["dim_to_name"]
    if not names:
        log_prob = jnp.reshape(log_prob, ())
    return funsor.to_funsor(log_prob, output=funsor.Real, dim_to_name=names)


def _own_assignments(
    name: str, trace: Trace, factors: Mapping[str, set[str]], enumerated: set[str]
) -> frozenset[str] | None:
    """The enumerated sites that belong to each datum of a site alone, None if one is shared."""
    if f"_PREV_{name}" in trace or name not in trace:
        return None  # inside scan, step by step
    own, reached = frozenset[str](), frozenset(factors[name] & enumerated)
    while own != reached:
        own = reached
        touching = {other for other, inputs in factors.items() if inputs & own}
        if touching - own - {name}:
            return None
        reached = own.union(*(factors[other] & enumerated for other in touching))
    plates = _plates(trace[name])
    return own if all(_plates(trace[other]) == plates for other in own) else None


def _plates(site: Mapping[str, Any]) -> set[str]:
    return {frame.name for frame in site["cond_indep_stack"]}
