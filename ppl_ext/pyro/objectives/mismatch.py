"""Is a density of the guide set against a probability of the model?"""

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.poutine.trace_struct import Trace
from pyro.poutine.util import site_is_subsample

from ppl_ext.estimators.mismatch import DensityMismatch, RelaxedDensityWarning, warn_of
from ppl_ext.pyro.tracing.isolation import own_param_store, own_random_state
from ppl_ext.pyro.tracing.run_at_point import support_of

__all__ = [
    "RelaxedDensityWarning",
    "check_densities",
    "find_mismatches",
    "is_discrete",
    "strip",
    "warn_once",
]


def check_densities(
    model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
) -> tuple[DensityMismatch, ...]:
    """Find the sites at which the guide has a density and the model a probability, and warn.

    A relaxed distribution in the guide of a discrete site trains without an error to a wrong
    answer. ``fit``, ``StickTheLanding`` and ``DiscreteELBO`` look for it themselves; the ELBOs
    of the host do not, so call this once before its ``SVI``. Not a check of anything else: a
    guide without mismatches may still be a poor one.

    Args:
        model: Pyro model.
        guide: Pyro guide.
        *args: Positional arguments of both.
        **kwargs: Keyword arguments of both.

    Returns:
        The mismatches, none if all is well; each prints itself with its cure.

    Example:
        >>> import pyro, pyro.distributions as dist, torch, warnings
        >>> def model():
        ...     pyro.sample("z", dist.Bernoulli(0.3))
        >>> def guide():
        ...     pyro.sample("z", dist.RelaxedBernoulli(torch.tensor(0.5), torch.tensor(0.3)))
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", RelaxedDensityWarning)
        ...     [each.site for each in check_densities(model, guide)]
        ['z']
    """
    # Parameters that begin at random have to do so in training, not here.
    params = own_param_store(pyro.get_param_store().get_state())
    with own_random_state(0), params, torch.no_grad(), poutine.block():
        drawn = poutine.trace(guide).get_trace(*args, **kwargs)
        replayed = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(*args, **kwargs)
    found = find_mismatches(drawn, replayed)
    warn_of("check_densities", found)
    return found


def find_mismatches(guide_trace: Trace, model_trace: Trace) -> tuple[DensityMismatch, ...]:
    """Compare the supports of the latent sites of two traces."""
    found = []
    for name, site in guide_trace.nodes.items():
        other = model_trace.nodes.get(name, {})
        if not (_is_latent(site) and _is_latent(other)):
            continue
        guide, model = strip(site["fn"]), strip(other["fn"])
        # A point mass is neither: it serves any site.
        if isinstance(guide, dist.Delta) or isinstance(model, dist.Delta):
            continue
        relaxed, discrete = is_discrete(site) is False, is_discrete(other)
        if discrete is not None and is_discrete(site) is not None and relaxed == discrete:
            found.append(
                DensityMismatch(name, type(guide).__name__, type(model).__name__, relaxed)
            )
    return tuple(found)


def warn_once(caller: str, told: set[str], guide_trace: Trace, model_trace: Trace) -> None:
    """Warn of the mismatches of two traces, at each site once.

    Args:
        caller: Name of the public object on whose behalf the warning speaks.
        told: Names of the sites of which was warned; those found are added.
        guide_trace: Trace of the guide.
        model_trace: Trace of the model.
    """
    found = [m for m in find_mismatches(guide_trace, model_trace) if m.site not in told]
    told |= {mismatch.site for mismatch in found}
    warn_of(caller, found)


def is_discrete(msg: dict) -> bool | None:
    """Whether a site has probabilities; None where its support does not tell."""
    support = support_of(msg)
    return None if support is None else bool(support.is_discrete)


def strip(fn: Any) -> Any:
    """Take off what a mask or ``to_event`` has put around a distribution."""
    while isinstance(fn, (torch.distributions.Independent, dist.MaskedDistribution)):
        fn = fn.base_dist
    return fn


def _is_latent(site: dict) -> bool:
    return site.get("type") == "sample" and not site["is_observed"] and not site_is_subsample(site)
