"""Is a density of the guide set against a probability of the model?"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer.autoguide import AutoGuide

from ppl_ext.estimators.mismatch import DensityMismatch, RelaxedDensityWarning, warn_of

__all__ = [
    "RelaxedDensityWarning",
    "check_densities",
    "find_mismatches",
    "is_discrete",
    "strip",
    "trace_mismatches",
]


def check_densities(
    rng_key: jax.Array,
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> tuple[DensityMismatch, ...]:
    """Find the sites at which the guide has a density and the model a probability, and warn.

    A relaxed distribution in the guide of a discrete site trains without an error to a wrong
    answer. ``fit``, ``StickTheLanding`` and ``DiscreteELBO`` look for it themselves; the ELBOs
    of the host do not, so call this once before its ``SVI``. Not a check of anything else: a
    guide without mismatches may still be a poor one.

    Args:
        rng_key: Random key.
        model: NumPyro model.
        guide: NumPyro guide.
        *args: Positional arguments of both.
        **kwargs: Keyword arguments of both.

    Returns:
        The mismatches, none if all is well; each prints itself with its cure.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, warnings
        >>> import numpyro.distributions as dist
        >>> def model():
        ...     numpyro.sample("z", dist.Bernoulli(0.3))
        >>> def guide():
        ...     numpyro.sample("z", dist.RelaxedBernoulli(jnp.array(0.5), jnp.array(0.3)))
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", RelaxedDensityWarning)
        ...     [each.site for each in check_densities(jax.random.key(0), model, guide)]
        ['z']
    """
    found = trace_mismatches(rng_key, model, guide, args, kwargs)
    warn_of("check_densities", found)
    return found


def trace_mismatches(
    rng_key: jax.Array,
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[DensityMismatch, ...]:
    """Trace guide and model once and find the sites at which their kinds differ."""
    found: list[DensityMismatch] = []

    def run(rng_key):
        guide_key, model_key = jax.random.split(rng_key)
        with handlers.block():
            drawn = handlers.trace(handlers.seed(guide, guide_key)).get_trace(*args, **kwargs)
            replayed = handlers.replay(handlers.seed(model, model_key), drawn)
            found.extend(
                find_mismatches(drawn, handlers.trace(replayed).get_trace(*args, **kwargs))
            )

    if isinstance(guide, AutoGuide):
        # It keeps what it sees at its first call, which must not be tracers.
        run(rng_key)
    else:
        jax.eval_shape(run, rng_key)
    return tuple(found)


def find_mismatches(
    guide_trace: Mapping[str, Any], model_trace: Mapping[str, Any]
) -> tuple[DensityMismatch, ...]:
    """Compare the supports of the latent sites of two traces."""
    found = []
    for name, site in guide_trace.items():
        other = model_trace.get(name, {})
        if not (_is_latent(site) and _is_latent(other)):
            continue
        guide, model = strip(site["fn"]), strip(other["fn"])
        # A point mass is neither: it serves any site.
        if isinstance(guide, dist.Delta) or isinstance(model, dist.Delta):
            continue
        relaxed, discrete = is_discrete(guide) is False, is_discrete(model)
        if discrete is not None and is_discrete(guide) is not None and relaxed == discrete:
            found.append(
                DensityMismatch(name, type(guide).__name__, type(model).__name__, relaxed)
            )
    return tuple(found)


def is_discrete(fn: dist.Distribution) -> bool | None:
    """Whether a distribution has probabilities; None where its support does not tell."""
    try:
        return bool(fn.support.is_discrete)
    except (AttributeError, NotImplementedError):
        return None


def strip(fn: dist.Distribution) -> dist.Distribution:
    """Take off what a plate, a mask or ``to_event`` has put around a distribution."""
    while isinstance(fn, (dist.ExpandedDistribution, dist.Independent, dist.MaskedDistribution)):
        fn = fn.base_dist
    return fn


def _is_latent(site) -> bool:
    return site.get("type") == "sample" and not site["is_observed"]
