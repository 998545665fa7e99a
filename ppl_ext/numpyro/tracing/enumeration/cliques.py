"""The probabilities of enumerated sites and those they hang on, given the data."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ppl_ext.numpyro.tracing.enumeration.marks import is_enumerated
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_site
from ppl_ext.numpyro.tracing.enumeration.summation import sum_out
from ppl_ext.numpyro.tracing.sites import Sites

__all__ = ["BEFORE", "Cliques", "chained_sites", "find_cliques"]

Trace = Mapping[str, dict[str, Any]]

# The host's name for the first step of a scan, and for a site one step back.
BEFORE = "_PREV_"


@dataclass(frozen=True)
class Cliques:
    """What is known of the enumerated sites once the data are summed over.

    Args:
        trace: The host's trace, enumerated sites along dimensions of their own.
        probabilities: ``{site: array}``, of its values and those of the sites that its
            distribution hangs on, along the dimensions that the host gave them.
    """

    trace: Trace
    probabilities: Mapping[str, jax.Array]

    def parents(self, name: str) -> frozenset[str]:
        """The enumerated sites that the distribution of a site hangs on."""
        inputs = self.trace[name]["infer"]["name_to_dim"]
        return frozenset(inputs) & self.probabilities.keys() - {name}

    def separates(self, given: frozenset[str], name: str, others: Iterable[str]) -> bool:
        """Whether a site is independent of some others, where those given are known."""
        reached, frontier = set(given), {name}
        while frontier:
            reached |= frontier
            frontier = {
                other
                for site in self.trace.values()
                if site["type"] == "sample" and frontier & site["infer"]["name_to_dim"].keys()
                for other in site["infer"]["name_to_dim"].keys() & self.probabilities.keys()
            } - reached
        return not (reached - given) & set(others)

    def logits(
        self, name: str, known: Mapping[str, jax.Array], kept: tuple[str, ...] = ()
    ) -> jax.Array:
        """Log probabilities of the values of a site where those of some others are known.

        Args:
            name: The site.
            known: Values of others.
            kept: Others to keep a dimension of their own, before that of the site.

        Returns:
            ``[time, plates..., kept..., value]``, not normalised.
        """
        dims, probability = self.trace[name]["infer"]["name_to_dim"], self.probabilities[name]
        for other in self.parents(name) - set(kept):
            dim = dims[other]
            if other in known:
                values = jnp.arange(probability.shape[dim]).reshape(-1, *[1] * (-dim - 1))
                probability = probability * (values == known[other])
            probability = jnp.sum(probability, axis=dim, keepdims=True)
        own = [dims[other] for other in (*kept, name)]
        return jnp.log(jnp.moveaxis(probability, own, range(-len(own), 0)))


def find_cliques(model: Callable[[], Any], sites: Sites) -> Cliques:
    """Find the probabilities of all enumerated sites: the gradient by their log factors.

    Args:
        model: The model without arguments, seeded, its other latent sites set.
        sites: What it is made of.

    References:
        Darwiche (2003), A Differential Approach to Inference in Bayesian Networks, Journal of
        the ACM 50(3).
    """
    trace = sum_out(model, sites)[1]
    shifts = {
        name: jnp.zeros(jnp.shape(score_site(site)))
        for name, site in trace.items()
        if is_enumerated(site)
    }
    return Cliques(trace, jax.grad(lambda shifts: sum_out(model, sites, shifts)[0])(shifts))


def chained_sites(trace: Trace, sites: Sites) -> list[str]:
    """Names of the scanned sites that the next step hangs on."""
    remembered = {
        name
        for site in trace.values()
        if site["type"] == "sample" and not site["name"].startswith(BEFORE)
        for name in site["infer"]["dim_to_name"].values()
    }
    return [s.name for s in sites.enumerated if s.scanned and BEFORE + s.name in remembered]
