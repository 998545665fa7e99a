"""Draws of enumerated sites given the continuous ones and the data."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from numpyro import handlers

from ppl_ext.numpyro.tracing.enumeration.scanned import draw_with_scan
from ppl_ext.numpyro.tracing.enumeration.sum_out import first_free_dim
from ppl_ext.numpyro.tracing.sites import Sites

__all__ = ["draw_assignments"]


def draw_assignments(
    model: Callable[[], Any], sites: Sites, rng_key: jax.Array
) -> Mapping[str, dict[str, Any]]:
    r"""Draw the enumerated sites from :math:`p(z \mid \theta, y)`.

    Args:
        model: The model without arguments, seeded, its other latent sites set.
        sites: What it is made of.
        rng_key: Random key of the draw.

    Returns:
        A trace in which every site has one value.
    """
    from numpyro.contrib.funsor import infer_discrete

    if any(site.scanned for site in sites.enumerated):
        # The host draws nothing that stands in its scan.
        model = handlers.substitute(model, data=draw_with_scan(model, sites, rng_key))
    else:
        dim = first_free_dim(sites)
        model = infer_discrete(model, first_available_dim=dim, rng_key=rng_key)
    with handlers.block():
        return handlers.trace(model).get_trace()
