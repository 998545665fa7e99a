"""ArviZ trees from the host's own SVI and MCMC."""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpyro import handlers
from numpyro.infer import MCMC, SVI
from numpyro.infer.autoguide import AutoLaplaceApproximation

from ppl_ext.draws.datatree import build_tree
from ppl_ext.numpyro.fitting.guide_draws import draw_guide
from ppl_ext.numpyro.tracing.bound_model import bind_model
from ppl_ext.numpyro.tracing.enumeration.model_scores import score_model
from ppl_ext.numpyro.tracing.model_call import ModelCall
from ppl_ext.numpyro.tracing.refusals import (
    read_guide,
    refuse_data,
    refuse_enumerated,
    refuse_guide,
)
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key
from ppl_ext.numpyro.tracing.sites import name_dims
from ppl_ext.numpyro.tracing.turns import in_turn

if TYPE_CHECKING:
    import xarray

__all__ = ["from_mcmc", "from_svi"]


@in_turn
def from_svi(
    rng_key: jax.Array,
    svi: SVI,
    result: Any,
    *args: Any,
    num_draws: int = 4000,
    posterior_predictive: bool = False,
    **kwargs: Any,
) -> "xarray.DataTree":
    """Draw from a guide that was fitted with the host's ``SVI``, as an ArviZ tree.

    Every draw carries its log density under the model (``lp``) and under the guide (``log_q``),
    so that importance weights and leave-one-out can be had from the tree. The guide is run as it
    is; the host's ``sample_posterior``, which correlates the parts of an ``AutoGuideList``, is
    not used. Not for guides that cover only some of the model's latent sites.

    Args:
        rng_key: Random key.
        svi: The ``SVI`` object.
        result: What ``svi.run`` returned, or a state, or the parameters.
        *args: Positional arguments of the model.
        num_draws: Number of draws.
        posterior_predictive: Whether to draw data too.
        **kwargs: Keyword arguments of the model.

    Returns:
        A tree with the groups ``posterior``, ``sample_stats``, ``log_likelihood``,
        ``observed_data`` and, if asked for, ``posterior_predictive``.

    Raises:
        ValueError: The guide does not draw every latent site of the model, or is the host's
            ``AutoLaplaceApproximation``, which draws its mode alone.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist, optax
        >>> from numpyro.infer import SVI, Trace_ELBO
        >>> from numpyro.infer.autoguide import AutoNormal
        >>> from ppl_ext.numpyro import from_svi
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> svi = SVI(model, AutoNormal(model), optax.adam(0.05), Trace_ELBO())
        >>> result = svi.run(jax.random.key(0), 200, 3.0, progress_bar=False)
        >>> tree = from_svi(jax.random.key(1), svi, result, 3.0, num_draws=100)
        >>> tree["posterior"]["mu"].shape
        (1, 100)
    """
    check_rng_key("from_svi", rng_key, "from_svi(jax.random.key(0), svi, result, *args)")
    if isinstance(svi.guide, AutoLaplaceApproximation):
        raise ValueError(
            "from_svi: the guide is AutoLaplaceApproximation, whose program draws the mode alone, "
            "without a spread; expected a guide that draws its distribution. Fit the Gaussian "
            "itself: fit(rng_key, model, *args, guide=AutoFullRank).to_datatree(rng_key)."
        )
    kwargs = {**svi.static_kwargs, **kwargs}
    if isinstance(result, Mapping):
        params = result
    else:
        params = result.params if hasattr(result, "params") else svi.get_params(result)
    bound = bind_model("from_svi", svi.model, args, kwargs)
    refuse_data(bound)
    drawn = read_guide(bound, svi.guide, params)
    if any(site.name in drawn for site in bound.sites.enumerated):
        bound = bound.unsummed
    refuse_guide(bound, svi.guide, params)
    draws, _ = draw_guide(
        rng_key,
        bound,
        svi.guide,
        params,
        num_draws,
        posterior_predictive=posterior_predictive,
    )
    return draws.to_datatree()


@in_turn
def from_mcmc(mcmc: MCMC, *args: Any, **kwargs: Any) -> "xarray.DataTree":
    """Arrange the draws of the host's ``MCMC`` like those of a fit, to lay them side by side.

    Not for kernels without a model (``potential_fn``), whose draws have no sites.

    Args:
        mcmc: An ``MCMC`` that has run.
        *args: Positional arguments of the model; those of the run if there are none.
        **kwargs: Keyword arguments of the model.

    Returns:
        A tree with the groups ``posterior`` (chain, draw, plates), ``sample_stats``,
        ``log_likelihood`` and ``observed_data``.

    Raises:
        ValueError: The kernel has no model, or ``mcmc`` has not run.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist
        >>> from numpyro.infer import MCMC, NUTS
        >>> from ppl_ext.numpyro import from_mcmc
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> mcmc = MCMC(NUTS(model), num_warmup=50, num_samples=100, progress_bar=False)
        >>> mcmc.run(jax.random.key(0), 3.0)
        >>> from_mcmc(mcmc)["posterior"]["mu"].shape
        (1, 100)
    """
    model = getattr(mcmc.sampler, "model", None)
    if model is None or mcmc.last_state is None:
        raise ValueError(
            f"from_mcmc: {type(mcmc.sampler).__name__} has {'not run' if model else 'no model'}; "
            "expected a kernel with a model that has run. Write MCMC(NUTS(model), ...) and "
            "mcmc.run(rng_key, ...)."
        )
    if not (args or kwargs):
        args, kwargs = mcmc._args, mcmc._kwargs
    bound = bind_model("from_mcmc", model, args, kwargs)
    refuse_data(bound)
    samples = mcmc.get_samples()
    if any(site.name in samples for site in bound.sites.enumerated):
        bound = bound.unsummed
    refuse_enumerated(bound)
    whole = bound.whole
    names = [site.name for site in whole.sites.latents if site.name in samples]
    scored = _score_samples(bound.call)({k: samples[k] for k in names}, bound.arrays)
    log_likelihood, weighted = (
        whole.drop_missing({k: np.asarray(v) for k, v in group.items()})
        for group in (scored.log_likelihood, scored.weighted)
    )
    extra = {
        name: np.asarray(value)
        for name, value in mcmc.get_extra_fields().items()
        if np.ndim(value) == 1
    }
    return build_tree(
        {name: np.asarray(value) for name, value in samples.items()},
        chains=mcmc.num_chains,
        sample_stats={"lp": np.asarray(scored.log_p, np.float64), **extra},
        log_likelihood=log_likelihood,
        weighted_log_likelihood=weighted,
        observed=whole.observed,
        dims=name_dims(whole.sites),
    )


@functools.lru_cache(maxsize=32)
def _score_samples(call: ModelCall) -> Callable:
    def score(values, arrays):
        model = handlers.substitute(handlers.seed(call.run, 0), data=values)
        run = functools.partial(model, arrays)
        return score_model(run, handlers.trace(run).get_trace(), call.sites)

    def in_turn(values, arrays):
        return jax.lax.map(lambda value: score(value, arrays), values, batch_size=256)

    return jax.jit(in_turn)
