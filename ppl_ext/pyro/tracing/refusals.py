"""The models, data and guides that cannot be fitted, each refused by name with the way out."""

from collections.abc import Callable
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.trace_struct import Trace
from pyro.poutine.util import site_is_subsample

from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.isolation import model_scope
from ppl_ext.pyro.tracing.sites import Latent

__all__ = [
    "refuse_data",
    "refuse_enumerated",
    "refuse_guide",
    "refuse_latent",
    "refuse_latents",
    "refuse_parameters",
    "refuse_subsampling",
]


def refuse_latents(bound: BoundModel, *, may_be_discrete: bool = False) -> None:
    """Raise for a model without latent sites, or with one that has no unconstrained space.

    Args:
        bound: The model.
        may_be_discrete: Whether a guide of the user's own may follow sites without a bijection.

    Raises:
        ValueError: It has no latent site, or one that is empty or cannot be followed.
    """
    if bound.sites.enumerated and not bound.sites.latents:
        raise ValueError(
            f"{bound.caller}: the model has no latent site beside "
            f"{[site.name for site in bound.sites.enumerated]}, which are summed out exactly, so "
            "there is nothing to fit; expected a continuous one. Draw such sites by the host: "
            "pyro.infer.infer_discrete(model, first_available_dim="
            f"{bound.sites.first_free_dim})(...)."
        )
    if not bound.sites.latents:
        sites = sorted(site.name for site in (*bound.sites.observed, *bound.sites.deterministics))
        raise ValueError(
            f"{bound.caller}: the model has no latent site (its sites are {sites}), so there is "
            "nothing to infer. Sample at least one site without obs=..., or pass the data as "
            "None where it should be inferred."
        )
    for latent in bound.sites.latents:
        if not may_be_discrete:
            refuse_latent(bound.caller, latent)
        if 0 in latent.shape:
            raise ValueError(
                f"{bound.caller}: latent site {latent.name!r} has shape {latent.shape} and holds "
                "no value, where at least one is expected. Leave the site out where there is "
                "nothing to infer."
            )


def refuse_latent(caller: str, latent: Latent) -> None:
    """Raise for a latent site without a bijection to unconstrained space.

    Args:
        caller: Name of the public object on whose behalf the error speaks.
        latent: The site.

    Raises:
        ValueError: It is discrete, or its support is unknown or has no bijection.
    """
    name, kind = latent.name, latent.distribution
    if not latent.support:
        raise ValueError(
            f"{caller}: latent site {name!r} is sampled from {kind}, which has no support; a "
            "distribution with one is expected, such as those of pyro.distributions. Give it one: "
            "support = constraints.real."
        )
    if latent.discrete and latent.obstacle:
        raise ValueError(
            f"{caller}: latent site {name!r} is discrete ({kind}) and cannot be summed out: "
            f"{latent.obstacle}; expected a site of few values. Draw it from a distribution that "
            "lists its values, such as dist.Categorical(probs), with infer={'enumerate': "
            "'parallel'}."
        )
    if latent.discrete:
        raise ValueError(
            f"{caller}: latent site {name!r} is discrete ({kind}), where a continuous one is "
            "expected, which a density or a Gaussian guide can follow. Have a site of few values "
            "summed out: infer={'enumerate': 'parallel'}, or write the sum as a mixture: "
            "dist.MixtureSameFamily(...)."
        )
    if latent.determined:
        raise ValueError(
            f"{caller}: latent site {name!r} is a Delta distribution, a point without a density; "
            "expected a distribution with one, or no sample statement. Write "
            f"pyro.deterministic({name!r}, value)."
        )
    if latent.unconstrained_shape is None:
        raise ValueError(
            f"{caller}: the support of latent site {name!r} ({kind}: {latent.support}) has no "
            "bijection to unconstrained space. Change its coordinates: poutine.reparam(model, "
            f"config={{{name!r}: ...}}) (ProjectedNormalReparam for a sphere)."
        )


def refuse_enumerated(bound: BoundModel) -> None:
    """Raise for a model whose marked sites cannot be summed out as it is written."""
    if bound.sites.enumerated:
        _ = bound.enumeration


def refuse_subsampling(bound: BoundModel, way_out: str) -> None:
    """Raise for a model that sees only some rows of a plate.

    Args:
        bound: The model.
        way_out: A sentence with the line that mends it.
    """
    for plate in bound.sites.plates:
        if plate.subsamples:
            raise ValueError(
                f"{bound.caller}: plate {plate.name!r} subsamples ({plate.subsample_size} of "
                f"{plate.size} rows), where all rows are expected. Drop the subsampling: "
                f"pyro.plate({plate.name!r}, {plate.size}). {way_out}"
            )


def refuse_parameters(bound: BoundModel) -> None:
    """Raise for parameters that the model learns."""
    if bound.sites.parameters:
        raise ValueError(
            f"{bound.caller}: the model has learnable parameters {list(bound.sites.parameters)}, "
            "where only sampled and observed sites are expected. Give them a prior (pyro.sample), "
            "or learn them, after which the fit has a density: fit(model, ...).density."
        )


def refuse_data(bound: BoundModel) -> None:
    """Raise for data with which no parameter value has a finite density."""
    for site in bound.sites.observed:
        if site.problem:
            raise ValueError(f"{bound.caller}: {site.problem}")


def refuse_guide(bound: BoundModel, guide: Callable[..., Any]) -> tuple[Trace, Trace]:
    """Run a guide and its model once and raise for a pair that does not fit.

    Args:
        bound: The model.
        guide: The guide.

    Returns:
        The traces of the guide and of the model.

    Raises:
        ValueError: The guide lacks a latent site of the model, has one of another model, or one
            of another shape.
    """
    name = getattr(guide, "__name__", type(guide).__name__)
    with model_scope(), torch.no_grad():
        guide_trace = poutine.trace(guide).get_trace(*bound.args, **bound.kwargs)
        replayed = poutine.replay(bound.scored, trace=guide_trace)
        model_trace = poutine.trace(replayed).get_trace(*bound.args, **bound.kwargs)
    summed = {site.name for site in bound.sites.enumerated}
    sites = {
        site: message
        for site, message in guide_trace.iter_stochastic_nodes()
        if not (site_is_subsample(message) or message["infer"].get("is_auxiliary"))
    }
    latents = {
        site: message
        for site, message in model_trace.iter_stochastic_nodes()
        if not site_is_subsample(message) and site not in summed
    }
    if sites.keys() != latents.keys():
        raise ValueError(
            f"{bound.caller}: the guide {name} follows the sites {sorted(sites)}, the model has "
            f"{sorted(latents)}; expected a guide of this model. Write a guide that samples each "
            "latent site once."
        )
    for site, message in latents.items():
        if message["fn"].shape() != sites[site]["fn"].shape():
            raise ValueError(
                f"{bound.caller}: the guide {name} draws site {site!r} with shape "
                f"{tuple(sites[site]['fn'].shape())}; expected {tuple(message['fn'].shape())}, "
                "the shape that it has in the model. Give the guide's parameters that shape, and "
                "its site the same plates, or make a new guide for these data."
            )
    return guide_trace, model_trace
