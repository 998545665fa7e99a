"""The log density of a model, whether or not it has sites to be summed out."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ppl_ext.numpyro.tracing.enumeration.per_datum import score_data
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_site, score_trace
from ppl_ext.numpyro.tracing.enumeration.summation import sum_out
from ppl_ext.numpyro.tracing.sites import Sites

__all__ = ["ModelScore", "score_model"]


class ModelScore(NamedTuple):
    """What a run of a model scores.

    Args:
        log_p: The log density without log-Jacobians.
        log_likelihood: ``{site: array}`` of every datum that has a likelihood of its own.
        weighted: The same of the sites whose data are scaled, times their weights.
    """

    log_p: jax.Array
    log_likelihood: dict[str, jax.Array]
    weighted: dict[str, jax.Array]


def score_model(model: Callable[[], Any], trace: Mapping[str, Any], sites: Sites) -> ModelScore:
    """Score a model whose latent sites are set.

    Args:
        model: The model without arguments, seeded.
        trace: A run of it.
        sites: What it is made of.
    """
    # Data that hang on enumerated sites are never scaled.
    weighted = {
        site.name: score_site(trace[site.name])
        for site in sites.observed
        if trace[site.name]["scale"] is not None
    }
    if sites.enumerated:
        log_p, factors = sum_out(model, sites)
        return ModelScore(log_p, score_data(factors, trace, sites), weighted)
    log_probs = score_trace(trace)
    terms = (jnp.sum(log_prob) for log_prob in log_probs.values())
    log_p = sum(terms, start=jnp.zeros((), jnp.result_type(float)))
    log_likelihood = {
        site.name: score_site(trace[site.name], scaled=False) for site in sites.observed
    }
    return ModelScore(log_p, log_likelihood, weighted)
