"""Simulate from a Pyro model: its prior, and data in place of those it was given."""

from collections.abc import Callable, Mapping
from typing import Any

import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine.trace_struct import Trace
from pyro.poutine.uncondition_messenger import UnconditionMessenger

from ppl_ext.calibration.simulate_and_fit import Simulation
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.isolation import model_scope, own_param_store, own_random_state

__all__ = ["condition_on", "draw_simulation", "trace_simulation"]


def condition_on(model: Callable[..., Any]) -> Callable[..., Any]:
    """The model with its data as first argument.

    Args:
        model: Pyro model whose data were given by its arguments.

    Returns:
        ``(data, *args, **kwargs)``, data as ``{site: tensor}``.
    """

    def conditioned(data: Mapping[str, torch.Tensor], /, *args: Any, **kwargs: Any) -> Any:
        return poutine.condition(_Uncondition()(model), data=data)(*args, **kwargs)

    return conditioned


def draw_simulation(bound: BoundModel, seed: int) -> Simulation:
    """Draw latent sites from their priors and data from their distributions.

    Args:
        bound: The model with its arguments.
        seed: Seed of the draws.

    Returns:
        The simulation.

    Raises:
        ValueError: A site cannot be drawn.
    """
    with model_scope(), own_random_state(seed), own_param_store(), torch.no_grad():
        trace = trace_simulation(bound)
        trace.compute_log_prob()
    nodes, sites = trace.nodes, bound.sites
    truth = {
        name: nodes[name]["value"].reshape(shape).cpu().numpy()
        for name, shape in sites.valued.items()
    }
    data = {
        site.name: nodes[site.name]["value"].expand(site.shape).cpu().numpy()
        for site in sites.observed
    }
    # As in the draws of a fit: without the weights that handlers give the data.
    total = sum(
        float(scale_and_mask(node["unscaled_log_prob"], 1.0, node["mask"]).sum())
        for node in map(nodes.__getitem__, data)
    )
    return Simulation(truth, data, None if sites.enumerated else total)


def trace_simulation(bound: BoundModel) -> Trace:
    """Run a model once, latent sites and data drawn anew, in the random state of the moment.

    Args:
        bound: The model with its arguments.

    Raises:
        ValueError: A site cannot be drawn.
    """
    try:
        trace = poutine.trace(_Uncondition()(bound.model)).get_trace(*bound.args, **bound.kwargs)
    except NotImplementedError as error:
        raise ValueError(
            f"{bound.caller}: a site of the model cannot be drawn ({error}); expected proper "
            "priors, from which to simulate. Put one in the place of an improper prior."
        ) from error
    for name, site in trace.nodes.items():
        if site["type"] == "sample" and isinstance(site["fn"], dist.Unit):
            raise ValueError(
                f"{bound.caller}: '{name}' is a factor, which has no data to simulate; "
                f"expected sample statements. Write pyro.sample('{name}', ..., obs=...)."
            )
    return trace


class _Uncondition(UnconditionMessenger):
    """Takes the data away, and not the values of deterministic sites, which the host counts in."""

    def _pyro_sample(self, msg: dict) -> None:
        if not msg["infer"].get("_deterministic"):
            super()._pyro_sample(msg)
