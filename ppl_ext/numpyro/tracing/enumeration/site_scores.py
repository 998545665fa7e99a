"""Log densities of the sites of a trace."""

from collections.abc import Mapping
from typing import Any

import jax

from ppl_ext.numpyro.tracing.arguments import refuse_invalid

__all__ = ["score_site", "score_trace"]


def score_site(site: Mapping[str, Any], *, scaled: bool = True) -> jax.Array:
    """Log density of one sample site, not summed over its plates.

    Args:
        site: The site.
        scaled: Whether times the weight that a handler or a minibatch gives it.
    """
    if site["intermediates"]:
        log_prob = site["fn"].log_prob(site["value"], site["intermediates"])
    else:
        log_prob = site["fn"].log_prob(site["value"])
    log_prob = refuse_invalid(site["fn"], log_prob)
    return log_prob if site["scale"] is None or not scaled else site["scale"] * log_prob


def score_trace(trace: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Log density of every sample site of a trace, not summed over its plates."""
    return {name: score_site(site) for name, site in trace.items() if site["type"] == "sample"}
