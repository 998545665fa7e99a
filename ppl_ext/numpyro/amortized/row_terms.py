"""The log density of every row, at given coordinates of its local sites and of shared ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.distributions.util import sum_rightmost

from ppl_ext.amortization.layout import RowLayout
from ppl_ext.numpyro.amortized import emission
from ppl_ext.numpyro.amortized.rows import run_model
from ppl_ext.numpyro.tracing.model_call import Arrays, ModelCall

__all__ = ["RowTerms"]


@dataclass(frozen=True)
class RowTerms:
    """The model as a function of coordinates, its terms told apart by rows.

    Args:
        call: The model and its fixed arguments.
        arrays: Its array arguments.
        params: Its parameters, and those of the guide, which it does not ask for.
        layout: The sites.
    """

    call: ModelCall
    arrays: Arrays
    params: Mapping[str, Any]
    layout: RowLayout

    def evaluate(self, shared: jax.Array | None, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Log density on unconstrained space.

        Args:
            shared: Coordinates of the shared sites, ``[dim]``.
            z: Those of the local ones, ``[row, dim]``.

        Returns:
            Of each row ``[row]``, and of all that lies outside of the plate.
        """
        parts = emission.split_sites(self.layout, shared, z)
        model, given = handlers.substitute(self.call.run, data=dict(self.params)), (self.arrays,)
        supports = run_model(self.call.run, given, {}, {})
        transforms = {name: biject_to(supports[name]["fn"].support) for name in parts}
        values = {name: transforms[name](part) for name, part in parts.items()}
        trace = run_model(model, given, {}, values)
        rows, rest = jnp.zeros(len(z)), jnp.zeros(())
        for site in trace.values():
            if site["type"] != "sample":
                continue
            term = site["fn"].log_prob(site["value"])
            term = term if site["scale"] is None else term * site["scale"]
            if site["name"] in parts:
                name = site["name"]
                slope = transforms[name].log_abs_det_jacobian(parts[name], values[name])
                term = term + sum_rightmost(slope, jnp.ndim(slope) - jnp.ndim(term))
            if self.layout.plate in {frame.name for frame in site["cond_indep_stack"]}:
                rows = rows + jnp.moveaxis(term, self.layout.dim, 0).reshape(len(z), -1).sum(-1)
            else:
                rest = rest + term.sum()
        size = trace[self.layout.plate]["args"][0]
        # The plate counts what it shows for all that it has; a row counts for itself.
        return rows * (len(z) / size), rest

    def hangs_outside(self, shared: jax.Array | None, z: jax.Array) -> jax.Array:
        """Whether something outside of the plate hangs on local sites."""
        slope = jax.grad(lambda z: self.evaluate(shared, z)[1])(z)
        return (slope != 0).any()
