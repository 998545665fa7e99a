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

from ppl_ext.diagnostics.tails_and_modes import Gaussian
from ppl_ext.draws.draws import Draws
from ppl_ext.numpyro.tracing.bound_model import GuideRef, ModelCall
from ppl_ext.numpyro.tracing.compiled_density import (
    compile_programs,
    run_batches,
    score_trace,
    to_numpy,
)
from ppl_ext.numpyro.tracing.find_sites import WholePlates, inspect_model
from ppl_ext.numpyro.tracing.sites import Inspection, dims_of

__all__ = ["draw_gaussian", "draw_guide", "name_dims"]

_BATCH = 256
_FLOATS = 4_000_000


def draw_gaussian(
    seed: np.random.SeedSequence,
    call: ModelCall,
    arrays: tuple[Any, ...],
    gaussian: Gaussian,
    num_draws: int,
    *,
    likelihood: bool = True,
    posterior_predictive: bool = False,
) -> Draws:
    """Draw a Gaussian on unconstrained space and score every draw on all rows of all plates.

    The noise is NumPy's: JAX would spend seconds on compiling its generator.

    Args:
        seed: Seed of the noise.
        call: The model and its fixed arguments.
        arrays: Its array arguments.
        gaussian: The Gaussian.
        num_draws: Number of draws.
        likelihood: Whether to keep the log likelihood of every datum.
        posterior_predictive: Whether to draw data too.

    Returns:
        The draws, their densities on unconstrained space.
    """
    programs = compile_programs(call, whole=True)
    rng = np.random.default_rng(seed)
    z = gaussian.push(rng.standard_normal((num_draws, programs.dim)))
    # What the model sees is rounded; both densities must be those of the same point.
    z = z.astype(programs.dtype).astype(np.float64)
    run = functools.partial(run_batches, programs, arrays=arrays, z=z)
    seeds = rng.integers(2**32, size=num_draws, dtype=np.uint32)
    values = run(program=programs.constrain)
    return Draws(
        values={name: values[name] for name in programs.names},
        log_p=run(program=programs.log_p),
        log_q=gaussian.log_prob(z),
        log_likelihood=run(program=programs.likelihood) if likelihood else {},
        posterior_predictive=(
            run_batches(programs, programs.predict, arrays, z, seeds)
            if posterior_predictive
            else {}
        ),
        **_describe_data(inspect_model(call, whole=True), arrays),
    )


def _describe_data(inspection: Inspection, arrays: tuple[Any, ...]) -> dict[str, Any]:
    observed = inspection.observe(arrays)
    return {
        "dims": name_dims(inspection),
        "observed": {site.name: np.asarray(observed[site.name]) for site in inspection.observed},
    }


def draw_guide(
    rng_key: jax.Array,
    call: ModelCall,
    arrays: tuple[Any, ...],
    guide: Callable[..., Any],
    params: Mapping[str, Any],
    num_draws: int,
    *,
    likelihood: bool = True,
    posterior_predictive: bool = False,
) -> tuple[Draws, np.ndarray]:
    """Draw a guide and score every draw under model and guide, on all rows of all plates.

    Args:
        rng_key: Random key.
        call: The model and its fixed arguments.
        arrays: Its array arguments.
        guide: The guide.
        params: Parameters of guide and model.
        num_draws: Number of draws.
        likelihood: Whether to keep the log likelihood of every datum.
        posterior_predictive: Whether to draw data too.

    Returns:
        The draws, and the same draws on unconstrained space ``[draw, dim]``.
    """
    inspection = inspect_model(call, whole=True)
    width = sum(math.prod(site.shape) for site in inspection.latents)
    if likelihood or posterior_predictive:
        width += sum(math.prod(site.shape) for site in inspection.observed)
    batch = max(1, min(_BATCH, _FLOATS // max(1, width)))
    program = _compile(call, GuideRef.to(guide), batch, likelihood, posterior_predictive)
    parts = []
    for start in range(0, num_draws, batch):
        part = program(rng_key, start // batch, dict(params), arrays)
        parts.append(to_numpy(part, min(batch, num_draws - start)))
    drawn = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    names = [*(site.name for site in inspection.latents), *inspection.deterministics]
    draws = Draws(
        values={name: drawn["values"][name] for name in names},
        log_p=drawn["log_p"],
        log_q=drawn["log_q"],
        log_likelihood=drawn["log_likelihood"],
        posterior_predictive=drawn["posterior_predictive"],
        **_describe_data(inspection, arrays),
    )
    return draws, drawn["z"]


@functools.lru_cache(maxsize=64)
def _compile(
    call: ModelCall, ref: GuideRef, batch: int, likelihood: bool, posterior_predictive: bool
) -> Callable:
    inspection = inspect_model(call, whole=True)
    latents = [site.name for site in inspection.latents]
    observed = [site.name for site in inspection.observed]
    continuous = [site.name for site in inspection.latents if site.unconstrained_shape is not None]

    def one(rng_key, params, arrays):
        args, kwargs = call.arguments(arrays)
        guide_key, model_key, data_key = jax.random.split(rng_key, 3)
        with handlers.block(), WholePlates():
            guide = handlers.substitute(handlers.seed(ref.guide, guide_key), data=params)
            guide_trace = handlers.trace(guide).get_trace(*args, **kwargs)
            model = handlers.replay(handlers.seed(call.model, model_key), guide_trace)
            model = handlers.substitute(model, data=params)
            model_trace = handlers.trace(model).get_trace(*args, **kwargs)
        log_probs = score_trace(model_trace)
        z = [
            jnp.ravel(biject_to(model_trace[name]["fn"].support).inv(model_trace[name]["value"]))
            for name in continuous
        ]
        return {
            "values": {
                name: model_trace[name]["value"] for name in (*latents, *inspection.deterministics)
            },
            "log_p": _total(log_probs),
            "log_q": _total(score_trace(guide_trace)),
            "log_likelihood": {name: log_probs[name] for name in observed if likelihood},
            "posterior_predictive": {
                name: model_trace[name]["fn"].sample(jax.random.fold_in(data_key, i))
                for i, name in enumerate(observed)
                if posterior_predictive
            },
            "z": jnp.concatenate(z) if z else jnp.zeros(0),
        }

    def many(rng_key, index, params, arrays):
        rng_keys = jax.random.split(jax.random.fold_in(rng_key, index), batch)
        return jax.vmap(one, in_axes=(0, None, None))(rng_keys, params, arrays)

    return jax.jit(many)


def _total(log_probs: Mapping[str, jax.Array]) -> jax.Array:
    return sum((jnp.sum(log_prob) for log_prob in log_probs.values()), start=jnp.zeros(()))


def name_dims(inspection: Inspection) -> dict[str, tuple[str, ...]]:
    """Names of the leading dimensions of every site, from its plates."""
    dims = {site.name: dims_of(site) for site in (*inspection.latents, *inspection.observed)}
    for name, (shape, plates) in inspection.deterministics.items():
        dims[name] = _dims_of_deterministic(name, shape, plates)
    return {name: names for name, names in dims.items() if names}


def _dims_of_deterministic(name, shape, plates) -> tuple[str, ...]:
    """A deterministic site does not say how many of its dimensions belong to an event."""
    for event_dim in range(len(shape)):
        axes = {len(shape) - event_dim + plate.dim: plate for plate in plates}
        if all(axis >= 0 and shape[axis] == plate.size for axis, plate in axes.items()):
            return tuple(
                axes[axis].name if axis in axes else f"{name}_dim_{axis}"
                for axis in range(max(axes, default=-1) + 1)
            )
    return ()
