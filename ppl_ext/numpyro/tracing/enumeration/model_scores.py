"""The log density of a model, whether or not it has sites to be summed out."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ppl_ext.numpyro.tracing.enumeration.per_datum import score_data
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_trace
from ppl_ext.numpyro.tracing.enumeration.summation import sum_out
from ppl_ext.numpyro.tracing.sites import Sites

__all__ = ["score_model"]


def score_model(
    model: Callable[[], Any], trace: Mapping[str, Any], sites: Sites
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Score a model whose latent sites are set.

    Args:
        model: The model without arguments, seeded.
        trace: A run of it.
        sites: What it is made of.

    Returns:
        The log density without log-Jacobians, and the log likelihood of every datum that has one
        of its own.
    """
    if sites.enumerated:
        log_p, factors = sum_out(model, sites)
        return log_p, score_data(factors, trace, sites)
    log_probs = score_trace(trace)
    terms = (jnp.sum(log_prob) for log_prob in log_probs.values())
    log_p = sum(terms, start=jnp.zeros((), jnp.result_type(float)))
    return log_p, {site.name: log_probs[site.name] for site in sites.observed}
