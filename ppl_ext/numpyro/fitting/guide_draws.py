"""Draws of a guide with both densities, in compiled batches."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import biject_to

from ppl_ext.climbing import Points
from ppl_ext.diagnostics import Gaussian
from ppl_ext.draws.counts import read_counts
from ppl_ext.draws.draws import Draws
from ppl_ext.numpyro.guides.guide_call import GuideCall, call_guide
from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.compiled_density import batch_size, compile_density
from ppl_ext.numpyro.tracing.data.arrays import to_numpy
from ppl_ext.numpyro.tracing.data.predictions import draw_data
from ppl_ext.numpyro.tracing.enumeration.assignments import draw_assignments
from ppl_ext.numpyro.tracing.enumeration.model_scores import score_model
from ppl_ext.numpyro.tracing.enumeration.site_scores import score_trace
from ppl_ext.numpyro.tracing.refusals import refuse_enumerated
from ppl_ext.numpyro.tracing.rng_keys import make_generator
from ppl_ext.numpyro.tracing.sites import name_dims

__all__ = ["draw_gaussian", "draw_guide", "score_points"]


def draw_gaussian(
    seed: np.random.SeedSequence,
    bound: BoundModel,
    gaussian: Gaussian,
    num_draws: int,
    *,
    likelihood: bool = True,
    assignments: bool = True,
    posterior_predictive: bool = False,
) -> Draws:
    """Draw a Gaussian on unconstrained space and score every draw on all rows of all plates.

    The noise is NumPy's: JAX would spend seconds on compiling its generator.

    Args:
        seed: Seed of the noise.
        bound: The model.
        gaussian: The Gaussian.
        num_draws: Number of draws.
        likelihood: Whether to keep the log likelihood of every datum.
        assignments: Whether to draw enumerated sites, and what hangs on them.
        posterior_predictive: Whether to draw data too.

    Returns:
        The draws, their densities on unconstrained space.
    """
    compiled = compile_density(bound.whole.call)
    rng = np.random.default_rng(seed)
    z = gaussian.push(rng.standard_normal((num_draws, compiled.dim)))
    # What the model sees is rounded; both densities must be those of the same point.
    z = z.astype(compiled.dtype).astype(np.float64)
    return score_points(
        rng,
        bound,
        Points(z, gaussian.log_prob(z)),
        likelihood=likelihood,
        posterior_predictive=posterior_predictive,
        assignments=assignments,
    )


def score_points(
    rng: np.random.Generator,
    bound: BoundModel,
    points: Points,
    *,
    likelihood: bool = True,
    posterior_predictive: bool = False,
    assignments: bool = True,
) -> Draws:
    """Score points on unconstrained space on all rows of all plates.

    Args:
        rng: Source of randomness of the data that are drawn.
        bound: The model.
        points: The points and what they were drawn from.
        likelihood: Whether to keep the log likelihood of every datum.
        posterior_predictive: Whether to draw data too.
        assignments: Whether to draw the sites that were summed out.

    Returns:
        The draws, their densities on unconstrained space.
    """
    bound = bound.whole
    compiled, arrays, z = compile_density(bound.call), bound.arrays, points.z
    seeds = rng.integers(2**32, size=len(z), dtype=np.uint32)
    scored = compiled.score_draws(
        arrays, z, likelihood=likelihood, seeds=seeds if assignments else None
    )
    return Draws(
        values=read_counts((site.name for site in bound.sites.enumerated), scored["values"]),
        log_p=scored["log_p"],
        log_q=scored["log_p"] if points.log_q is None else points.log_q,
        log_likelihood=bound.drop_missing(scored["log_likelihood"]),
        weighted_log_likelihood=bound.drop_missing(scored["weighted_log_likelihood"]),
        posterior_predictive=(
            compiled.run(compiled.predict, arrays, z, seeds) if posterior_predictive else {}
        ),
        dims=name_dims(bound.sites),
        observed=bound.observed,
        chains=points.chains,
        resampled=points.resampled,
        make_generator=make_generator,
    )


def draw_guide(
    rng_key: jax.Array,
    bound: BoundModel,
    guide: Callable[..., Any],
    params: Mapping[str, Any],
    num_draws: int,
    *,
    likelihood: bool = True,
    assignments: bool = True,
    posterior_predictive: bool = False,
) -> tuple[Draws, np.ndarray]:
    """Draw a guide and score every draw under model and guide, on all rows of all plates.

    Args:
        rng_key: Random key.
        bound: The model.
        guide: The guide.
        params: Parameters of guide and model.
        num_draws: Number of draws.
        likelihood: Whether to keep the log likelihood of every datum.
        assignments: Whether to draw enumerated sites, and what hangs on them.
        posterior_predictive: Whether to draw data too.

    Returns:
        The draws, and the same draws on unconstrained space ``[draw, dim]``.
    """
    bound = bound.whole
    refuse_enumerated(bound)
    sites = bound.sites
    width = sum(math.prod(site.shape) for site in sites.latents)
    if likelihood or posterior_predictive:
        width += sum(math.prod(site.shape) for site in sites.observed)
    batch = batch_size(width)
    what = (likelihood, assignments, posterior_predictive)
    program = _compile(call_guide(bound, guide), batch, *what)
    parts = []
    for start in range(0, num_draws, batch):
        part = program(rng_key, start // batch, dict(params), bound.arrays)
        parts.append(to_numpy(part, min(batch, num_draws - start)))
    drawn = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    values = {name: drawn["values"][name] for name in sites.valued if name in drawn["values"]}
    draws = Draws(
        values=read_counts((site.name for site in sites.enumerated), values),
        log_p=drawn["log_p"],
        log_q=drawn["log_q"],
        log_likelihood=bound.drop_missing(drawn["log_likelihood"]),
        weighted_log_likelihood=bound.drop_missing(drawn["weighted_log_likelihood"]),
        posterior_predictive=drawn["posterior_predictive"],
        dims=name_dims(sites),
        observed=bound.observed,
        make_generator=make_generator,
    )
    return draws, drawn["z"]


@functools.lru_cache(maxsize=64)
def _compile(
    guided: GuideCall,
    batch: int,
    likelihood: bool,
    assignments: bool,
    posterior_predictive: bool,
) -> Callable:
    sites = guided.call.sites
    names = [name for name in sites.valued if assignments or name not in sites.assigned]
    observed = [site.name for site in sites.observed]
    continuous = [site.name for site in sites.latents if site.unconstrained_shape is not None]

    def one(rng_key, params, arrays):
        guide_key, model_key, data_key = jax.random.split(rng_key, 3)
        assign_key = jax.random.fold_in(data_key, len(observed))
        with handlers.block():
            guide = handlers.substitute(handlers.seed(guided.run, guide_key), data=params)
            guide_trace = handlers.trace(guide).get_trace(arrays)
            model = handlers.seed(guided.call.run, model_key)
            if sites.enumerated:
                # The host's scan replays no trace where sites are enumerated.
                drawn = {
                    name: site["value"]
                    for name, site in guide_trace.items()
                    if site["type"] in ("sample", "plate")
                }
                model = handlers.substitute(model, data={**params, **drawn})
            else:
                model = handlers.substitute(handlers.replay(model, guide_trace), data=params)
            run_model = functools.partial(model, arrays)
            model_trace = handlers.trace(run_model).get_trace()
            scored = score_model(run_model, model_trace, sites)
            if sites.enumerated:
                model_trace = draw_assignments(run_model, sites, assign_key)
        z = [
            jnp.ravel(biject_to(model_trace[name]["fn"].support).inv(model_trace[name]["value"]))
            for name in continuous
        ]
        return {
            "values": {name: model_trace[name]["value"] for name in names},
            "log_p": scored.log_p,
            "log_q": _total(score_trace(guide_trace)),
            "log_likelihood": scored.log_likelihood if likelihood else {},
            "weighted_log_likelihood": scored.weighted if likelihood else {},
            "posterior_predictive": (
                draw_data(model_trace, observed, data_key) if posterior_predictive else {}
            ),
            "z": jnp.concatenate(z) if z else jnp.zeros(0),
        }

    def many(rng_key, index, params, arrays):
        rng_keys = jax.random.split(jax.random.fold_in(rng_key, index), batch)
        return jax.vmap(one, in_axes=(0, None, None))(rng_keys, params, arrays)

    return jax.jit(many)


def _total(log_probs: Mapping[str, jax.Array]) -> jax.Array:
    return sum((jnp.sum(log_prob) for log_prob in log_probs.values()), start=jnp.zeros(()))
