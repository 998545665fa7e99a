"""What the host cannot sum out, or would sum out wrongly."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax

from ppl_ext.numpyro.tracing.enumeration.cliques import chained_sites
from ppl_ext.numpyro.tracing.enumeration.marks import is_enumerated
from ppl_ext.numpyro.tracing.enumeration.summation import sum_out
from ppl_ext.numpyro.tracing.sites import Enumerated, Sites

__all__ = ["find_conflict", "find_unlisted"]

Trace = Mapping[str, dict[str, Any]]


def find_unlisted(enumerated: Iterable[Enumerated]) -> str:
    """Which site has no values 0, 1, ... to sum over, with the way out; empty for none."""
    for site in enumerated:
        if site.problem:
            return (
                f"site '{site.name}' ({site.distribution}) is marked to be summed out, and "
                f"{site.problem}; expected the values 0, 1, ... up to a known number. Draw the "
                f"number of a value: i = numpyro.sample('{site.name}', "
                "numpyro.distributions.Categorical(...)), and write values[i]."
            )
    return ""


def find_conflict(model: Callable[[Any], Any], avals: Iterable[Any], sites: Sites) -> str:
    """What keeps the enumerated sites of a model from being summed out, with the way out.

    Args:
        model: The model as a function of its array arguments, seeded, its latent sites set.
        avals: ``(shape, dtype)`` of these, in order.
        sites: What it is made of, at least one enumerated site.

    Returns:
        Three parts of a message, empty where nothing is in the way.
    """
    names = {site.name for site in sites.enumerated}
    for name, batch, plated in sites.loose:
        if name in names or plated:
            return (
                f"site '{name}' has batch shape {batch} and no plate for each of its dimensions; "
                "expected one, by which NumPyro tells what is independent where it sums sites "
                "out. Write: with numpyro.plate('row', size): "
                f"numpyro.sample('{name}', ...), or make them one event: .to_event(1)."
            )
    found: list[str] = []

    def look(arrays):
        trace = sum_out(functools.partial(model, arrays), sites)[1]
        found.append(_judge(trace, sites))

    try:
        jax.eval_shape(look, tuple(jax.ShapeDtypeStruct(*aval) for aval in avals))
    except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        names = ", ".join(f"'{site.name}'" for site in sites.enumerated)
        return (
            f"NumPyro does not sum out the site {names}: {type(error).__name__}, {error}; "
            "expected sites whose plates hold those of the sites they hang on. Write the sum as "
            "a distribution: numpyro.distributions.MixtureSameFamily(...)."
        )
    return found[0]


def _judge(trace: Trace, sites: Sites) -> str:
    enumerated = {name for name, site in trace.items() if is_enumerated(site)}
    chained = chained_sites(trace, sites)
    outside = [site.name for site in sites.enumerated if not site.scanned]
    latents = {site.name for site in sites.latents}
    for name, site in trace.items():
        inputs = set(site["infer"]["dim_to_name"].values()) if site["type"] == "sample" else set()
        on = ", ".join(f"'{each}'" for each in sorted(inputs & enumerated))
        if not on:
            continue
        if site["scale"] is not None:
            return (
                f"site '{name}' is scaled and hangs on {on}; expected no scale, for a power of a "
                "sum is no sum of powers. Leave out handlers.scale around it."
            )
        if not any(each.startswith("_time") for each in inputs):
            continue
        if name in latents:
            return (
                f"site '{name}' stands inside scan and hangs on {on}; expected latent sites there "
                "whose prior does not. Write a Python loop: for t in numpyro.contrib.funsor."
                "markov(range(T))."
            )
        known = {each for other in chained for each in _inputs(trace[other])}
        for each in outside:
            if each in inputs and each not in known:
                return (
                    f"site '{name}' stands inside scan and hangs on '{each}' outside of it, "
                    "which NumPyro sums out anew at every step; expected the states of the chain "
                    f"to hang on it too. Carry it along: make '{each}' part of the state."
                )
    if len(chained) > 1 or any(name.startswith("_PREV__PREV_") for name in trace):
        return (
            f"the sites {chained} are chained inside one scan, with a history of more than one "
            "state; expected one site that the next step hangs on. Make them one, with a value "
            "for every pair: numpyro.distributions.Categorical(...)."
        )
    return ""


def _inputs(site: Mapping[str, Any]) -> set[str]:
    return set(site["infer"]["dim_to_name"].values())
