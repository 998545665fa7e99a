"""Find out what a model is made of, by tracing it without running it."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.primitives import Messenger

from ppl_ext.numpyro.tracing.enumeration.marks import (
    describe_enumerated,
    find_dependents,
    find_loose_dims,
    is_enumerated,
)
from ppl_ext.numpyro.tracing.hidden_draws import watch_hidden_draws
from ppl_ext.numpyro.tracing.sites import DeterministicSite, Latent, Observed, Plate, Sites

__all__ = ["WholePlates", "origin_of", "put_unconstrained", "trace_sites", "without_wrappers"]

_WRAPPERS = (dist.ExpandedDistribution, dist.Independent, dist.MaskedDistribution)


def put_unconstrained(model: Callable, read: Callable[[Mapping, Any], Any]) -> Callable:
    """The model with its latent sites set from unconstrained space.

    Args:
        model: NumPyro model.
        read: ``(site, transform) -> unconstrained value``, or None to leave the site as it is.
    """

    def value_of(site):
        if site["type"] != "sample" or site["is_observed"]:
            return None
        transform = _bijection(site["fn"])
        unconstrained = read(site, transform)
        if unconstrained is None:
            return None
        # Inside the host's scan a site is visited step by step and needs its step's row.
        step = site["infer"].get("_scan_current_index")
        ndim = len(_value_shape(site)) - transform.codomain.event_dim + transform.domain.event_dim
        if step is not None and jnp.ndim(unconstrained) > ndim:
            unconstrained = unconstrained[step]
        return transform(unconstrained)

    return handlers.substitute(model, substitute_fn=value_of)


class WholePlates(Messenger):
    """Shows every row of every plate to a model and guide that draw minibatches themselves."""

    def process_message(self, msg: dict[str, Any]) -> None:
        """Put all rows in the place of the drawn ones."""
        if msg["type"] == "plate":
            size = msg["args"][0]
            msg["args"] = (size, size)
            msg["value"] = jnp.arange(size)


def trace_sites(
    run: Callable[[Any], Any], shapes: Any, score_data: bool = False, summed: bool = True
) -> tuple[Sites, Callable[[Any], dict[str, tuple[jax.Array, jax.Array | None]]]]:
    """Trace a model once without running it, and say what it is made of.

    Args:
        run: The model as a function of its array arguments.
        shapes: Their shapes.
        score_data: Whether to see that its data can be scored.
        summed: Whether discrete sites that are marked for it are summed out.

    Returns:
        The sites, and a compiled ``arrays -> {name: (value, present)}`` of the observed ones,
        where present is None or a mask of the shape of the value.
    """
    found = []

    def look(arrays):
        model = put_unconstrained(handlers.seed(run, 0), origin_of)
        # A guide that is set up in the middle of a run must not be heard by the run's handlers.
        with handlers.block(), watch_hidden_draws() as hidden:
            trace = handlers.trace(model).get_trace(arrays)
        sites = _mark_dependents(_describe(trace, summed), functools.partial(model, arrays), trace)
        found.append(replace(sites, hidden=tuple(hidden)))
        observed = {site.name: trace[site.name] for site in found[-1].observed}
        if score_data:
            for site in observed.values():
                site["fn"].log_prob(site["value"])
        return {
            name: (site["value"], mask_of(site["fn"], jnp.shape(site["value"])))
            for name, site in observed.items()
        }

    observe = jax.jit(look)
    observe.eval_shape(shapes)
    return found[0], observe


def origin_of(site, transform):
    """The middle of unconstrained space, for `put_unconstrained`."""
    return None if transform is None else jnp.zeros(transform.inverse_shape(_value_shape(site)))


def _value_shape(site) -> tuple[int, ...]:
    return (*site["kwargs"].get("sample_shape", ()), *site["fn"].shape())


def _bijection(fn):
    """The bijection onto a support, None where the host knows none."""
    try:
        return None if fn.support.is_discrete else biject_to(fn.support)
    except NotImplementedError:
        return None


def _is_discrete(fn) -> bool:
    try:
        return bool(fn.support.is_discrete)
    except NotImplementedError:  # a support that only its values could tell
        return False


def _mark_dependents(sites: Sites, model: Callable[[], Any], trace) -> Sites:
    """The sites, those marked that hang on enumerated ones."""
    if not sites.enumerated:
        return sites
    values = {site.name: trace[site.name]["value"] for site in sites.enumerated}
    # What has a bijection onto a fixed support has the same for all values of other sites.
    moving = (site for site in sites.latents if site.transform is None)
    names = [site.name for site in (*moving, *sites.deterministics)]
    dependents = find_dependents(model, values, names)
    loose, batch_ndim = find_loose_dims(trace)
    return replace(
        sites,
        loose=loose,
        batch_ndim=batch_ndim,
        latents=tuple(replace(s, assigned=s.name in dependents) for s in sites.latents),
        deterministics=tuple(
            replace(s, assigned=s.name in dependents) for s in sites.deterministics
        ),
    )


def _describe(trace, summed: bool) -> Sites:
    sizes, latents, observed, deterministics, parameters = {}, [], [], [], []
    enumerated = []
    for name, site in trace.items():
        if site["type"] == "plate":
            sizes[name] = site["args"][0]
    around = functools.partial(_plates_around, sizes=sizes)
    for name, site in trace.items():
        if site["type"] in ("param", "mutable"):
            parameters.append(name)
        elif site["type"] == "deterministic":
            if hasattr(site["value"], "shape") or isinstance(site["value"], (int, float)):
                shape = jnp.shape(site["value"])
                deterministics.append(DeterministicSite(name, shape, around(site)))
        elif summed and is_enumerated(site):
            kind = _class_name(site["fn"])
            enumerated.append(describe_enumerated(name, kind, site, around(site)))
        elif site["type"] == "sample" and not site["is_observed"]:
            latents.append(_describe_latent(name, site, around(site)))
        elif site["type"] == "sample" and not site["infer"].get("is_auxiliary"):
            observed.append(_describe_observed(name, site, around(site)))
    every = (*latents, *enumerated, *observed)
    plates = {plate.name: plate for site in every for plate in site.plates}
    return Sites(
        tuple(latents),
        tuple(observed),
        tuple(deterministics),
        tuple(plates.values()),
        tuple(parameters),
        enumerated=tuple(enumerated),
    )


def _plates_around(site, sizes) -> tuple[Plate, ...]:
    frames = sorted(site.get("cond_indep_stack", ()), key=lambda frame: frame.dim)
    return tuple(
        Plate(frame.name, frame.dim, sizes.get(frame.name, frame.size), frame.size)
        for frame in frames
    )


def _describe_latent(name, site, plates) -> Latent:
    fn = site["fn"]
    transform = _bijection(fn)
    shape = jnp.shape(site["value"])
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(transform))
    return Latent(
        name=name,
        distribution=_class_name(fn),
        shape=shape,
        event_dim=fn.event_dim,
        unconstrained_shape=None if transform is None else tuple(transform.inverse_shape(shape)),
        transform=None if traced else transform,
        plates=plates,
        discrete=_is_discrete(fn),
        determined=isinstance(without_wrappers(fn), dist.Delta),
        circular=transform is not None
        and without_wrappers(fn).support is dist.constraints.circular,
    )


def _describe_observed(name, site, plates) -> Observed:
    fn, value = site["fn"], jnp.asarray(site["value"])
    discrete = _is_discrete(fn)
    problem = ""
    if value.dtype.kind in "iub" and not discrete:
        try:
            jax.eval_shape(fn.log_prob, value)
        except (TypeError, ValueError) as error:
            problem = str(error)
    return Observed(
        name=name,
        distribution=_class_name(fn),
        shape=value.shape,
        expected_shape=_value_shape(site),
        event_dim=fn.event_dim,
        plates=plates,
        discrete=discrete,
        problem=problem,
    )


def mask_of(fn, shape) -> jax.Array | None:
    """Which entries of a value count, None where all of them do."""
    masks = []
    while isinstance(fn, _WRAPPERS):
        if isinstance(fn, dist.MaskedDistribution) and fn._mask is not True:
            mask = jnp.asarray(fn._mask)
            mask = jnp.reshape(mask, (*mask.shape, *[1] * fn.event_dim)) if mask.ndim else mask
            masks.append(jnp.broadcast_to(mask, shape))
        fn = fn.base_dist
    return functools.reduce(jnp.logical_and, masks) if masks else None


def without_wrappers(fn: dist.Distribution) -> dist.Distribution:
    """The distribution inside of expansions, masks and event dimensions."""
    while isinstance(fn, _WRAPPERS):
        fn = fn.base_dist
    return fn


def _class_name(fn) -> str:
    return type(without_wrappers(fn)).__name__
