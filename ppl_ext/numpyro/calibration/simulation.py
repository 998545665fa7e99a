"""Simulate from a NumPyro model: its prior, and data in place of those it was given."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers

from ppl_ext.calibration.simulate_and_fit import Simulation
from ppl_ext.numpyro.tracing.bound_model import BoundModel, x64_scope
from ppl_ext.numpyro.tracing.data.arrays import to_numpy
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_site

__all__ = ["condition_on", "make_simulator", "refuse_factors", "refuse_improper"]


def condition_on(model: Callable[..., Any]) -> Callable[..., Any]:
    """The model with its data as first argument: one program for all simulations.

    Args:
        model: NumPyro model whose data were given by its arguments.

    Returns:
        ``(data, *args, **kwargs)``, data as ``{site: array}``.
    """

    def conditioned(data: Mapping[str, Any], /, *args: Any, **kwargs: Any) -> Any:
        return handlers.condition(handlers.uncondition(model), data=data)(*args, **kwargs)

    return conditioned


def make_simulator(bound: BoundModel) -> Callable[[jax.Array], Simulation]:
    """Compile the draw of one simulation.

    Args:
        bound: The model with its arguments.

    Returns:
        ``rng_key -> Simulation``.

    Raises:
        ValueError: The model has a factor or an improper prior.
    """
    refuse_improper(bound)
    observed = [site.name for site in bound.sites.observed]
    valued = bound.sites.valued

    def run(rng_key, arrays):
        model = handlers.uncondition(handlers.seed(bound.call.run, rng_key))
        with handlers.block():
            trace = handlers.trace(model).get_trace(arrays)
        refuse_factors(bound, trace)
        # As in the draws of a fit: without the weights that handlers give the data.
        log_probs = {name: score_site(trace[name], scaled=False) for name in observed}
        return {
            "truth": {name: trace[name]["value"] for name in valued},
            "data": {name: trace[name]["value"] for name in observed},
            "log_likelihood": sum(jnp.sum(log_prob) for log_prob in log_probs.values()),
        }

    program = jax.jit(run)

    def simulate(rng_key: jax.Array) -> Simulation:
        with x64_scope(bound.x64):
            drawn = jax.tree.map(np.asarray, program(rng_key, bound.arrays))
        total = float(to_numpy(drawn["log_likelihood"][None])[0])
        return Simulation(drawn["truth"], drawn["data"], None if bound.sites.enumerated else total)

    return simulate


def refuse_improper(bound: BoundModel) -> None:
    """Raise for a prior from which nothing can be drawn."""
    for site in bound.sites.latents:
        if site.distribution == dist.ImproperUniform.__name__:
            raise ValueError(
                f"{bound.caller}: the prior of site '{site.name}' is improper, and nothing can be "
                "drawn from it; expected a proper one. Write numpyro.sample("
                f"'{site.name}', dist.Normal(0.0, 10.0))."
            )


def refuse_factors(bound: BoundModel, trace: Mapping[str, Any]) -> None:
    """Raise for a model with a factor, which has no data."""
    for name, site in trace.items():
        if site["type"] == "sample" and isinstance(site["fn"], dist.Unit):
            raise ValueError(
                f"{bound.caller}: '{name}' is a factor, which has no data to simulate; "
                f"expected sample statements. Write numpyro.sample('{name}', ..., obs=...)."
            )
