"""The log density of every row, at given coordinates of its local sites and of shared ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.distributions.util import sum_rightmost

from ppl_ext.amortization.layout import RowLayout
from ppl_ext.amortization.refusals import refuse_ties
from ppl_ext.numpyro.amortized import emission
from ppl_ext.numpyro.amortized.rows import Shown, run_model

__all__ = ["RowTerms"]


@dataclass(frozen=True)
class RowTerms:
    """The model as a function of coordinates, its terms told apart by rows.

    Args:
        model: NumPyro model.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        params: Its parameters, and those of the guide, which it does not ask for.
        layout: The sites.
        shown: A run of the model with the rows that are meant.
    """

    model: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    params: Mapping[str, Any]
    layout: RowLayout
    shown: Shown

    def evaluate(self, shared: jax.Array | None, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Log density on unconstrained space.

        Args:
            shared: Coordinates of the shared sites, ``[dim]``.
            z: Those of the local ones, ``[row, dim]``.

        Returns:
            Of each row ``[row]``, and of all that lies outside of the plate.
        """
        parts = emission.split_sites(self.layout, shared, z)
        transforms = {name: biject_to(self.shown.trace[name]["fn"].support) for name in parts}
        values = {name: transforms[name](part) for name, part in parts.items()}
        model = handlers.substitute(self.model, data=dict(self.params))
        trace = run_model(model, self.args, self.kwargs, values, whole=self.shown.whole)
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

    def refuse_ties(self, shared: jax.Array | None, z: jax.Array) -> None:
        """Raise where something outside of the plate hangs on local sites."""
        slope = jax.grad(lambda z: self.evaluate(shared, z)[1])(z)
        refuse_ties(self.layout, bool((slope != 0).any()))
