"""Models with parameters on the deterministic road: their density, their fit, their names."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from ppl_ext.density import ParametricDensity
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi import GaussianSolution, solve_full_rank, solve_mean_field
from ppl_ext.gaussian_vi.parameters import MOST_PARAMETERS, solve_with_parameters
from ppl_ext.numpyro.guides.flat import AbstractFlatGuide
from ppl_ext.numpyro.guides.full_rank import AutoFullRank
from ppl_ext.numpyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.numpyro.tracing.bound_model import BoundModel, x64_scope
from ppl_ext.numpyro.tracing.compiled_density import compile_density
from ppl_ext.numpyro.tracing.density import density_of
from ppl_ext.numpyro.tracing.find_sites import origin_of, put_unconstrained
from ppl_ext.numpyro.tracing.model_call import ModelCall
from ppl_ext.numpyro.tracing.rng_keys import whole_seed_from
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["find_obstacle", "fit_with_parameters", "read_parameters"]


def find_obstacle(bound: BoundModel, guide: AbstractFlatGuide) -> str:
    """Why the parameters of a model cannot be held, in words; empty if they can or it has none.

    Args:
        bound: The model.
        guide: The guide that is fitted with them.
    """
    if not bound.sites.parameters:
        return ""
    if not isinstance(guide, AbstractGaussianGuide):
        return "the model has parameters, whose optimum is found with a Gaussian guide alone"
    if bound.sites.subsamples:
        return "the model sees its data in minibatches"
    layout = bound.call.parameters
    if layout is None:
        return f"one of {list(bound.sites.parameters)} is a mutable site or no real number"
    if layout.size > MOST_PARAMETERS:
        return f"the model has {layout.size:,} parameters, more than {MOST_PARAMETERS:,}"
    held = bound.call.hold(layout.size).sites
    if held.hidden:
        return f"the model draws {', '.join(held.hidden)} beside its sample statements"
    return ""


def fit_with_parameters(
    rng_key: jax.Array,
    bound: BoundModel,
    guide: AbstractGaussianGuide,
    settings: Deterministic,
    progress_bar: bool,
) -> tuple[BoundModel, dict[str, Any], FitLog, GaussianSolution]:
    """Fit a Gaussian guide and the parameters of its model by the solver of the hall.

    Args:
        rng_key: Random key, of parameters that start at random too.
        bound: The model; it can be held.
        guide: The guide.
        settings: Draws, tolerances and limits.
        progress_bar: Whether to draw a bar.

    Returns:
        The model with its parameters held, the parameters of guide and model, the log and the
        solver's Gaussian.
    """
    density = _parametric_density(bound, rng_key)
    held = bound.hold(density.start)
    compile_seconds = compile_density(held.call).compile_log_density(held.arrays)
    solve = solve_full_rank if isinstance(guide, AutoFullRank) else solve_mean_field
    seed = whole_seed_from(rng_key)
    solution = solve_with_parameters(
        density, solve, settings, seed=seed, progress_bar=progress_bar
    )
    held = bound.hold(solution.theta)
    if guide.model is bound.model:
        # Deterministic sites and moving supports of its draws are those of the fitted parameters.
        guide._set_up(held)
    gaussian = solution.gaussian
    params = read_parameters(held) | guide.set_gaussian(gaussian.loc, gaussian.scale)
    return held, params, replace(gaussian.log, compile_seconds=compile_seconds), gaussian


def read_parameters(bound: BoundModel) -> dict[str, Any]:
    """The parameters that a model is held at, by their names; none where it has none."""
    if not bound.call.held:
        return {}
    with x64_scope(bound.x64):
        return dict(_compile_reading(bound.call)(bound.arrays))


def _parametric_density(bound: BoundModel, rng_key: jax.Array) -> ParametricDensity:
    layout = bound.call.parameters
    held = bound.call.hold(layout.size)
    compiled, slope = compile_density(held), _compile_slope(held)

    @in_turn
    def gradient(z: np.ndarray, theta: np.ndarray) -> np.ndarray:
        z = np.asarray(z, compiled.dtype)
        total = np.zeros(layout.size)
        with x64_scope(bound.x64):
            for start in range(0, len(z), compiled.batch):
                rows = z[start : start + compiled.batch]
                # The program is compiled for whole batches: the first draw fills the rest.
                spare = np.broadcast_to(rows[0], (compiled.batch - len(rows), z.shape[1]))
                weights = np.arange(compiled.batch) < len(rows)
                batch = np.concatenate([rows, spare])
                part = slope(
                    np.asarray(theta, compiled.dtype),
                    batch,
                    bound.arrays,
                    weights.astype(compiled.dtype),
                )
                total += np.asarray(part, np.float64)
        return total / len(z)

    return ParametricDensity(
        parameters=layout.sites,
        start=np.asarray(layout.start(bound.arrays, rng_key), np.float64),
        at=lambda theta: density_of(bound.hold(theta)),
        gradient=gradient,
    )


@functools.lru_cache(maxsize=64)
def _compile_slope(held: ModelCall) -> Callable[..., jax.Array]:
    """The gradient in the parameters of a weighted sum over draws."""
    log_p = jax.vmap(compile_density(held).log_p, in_axes=(0, None))

    def total(theta, z, arrays, weights):
        return jnp.sum(weights * log_p(z, (*arrays, theta)))

    return jax.jit(jax.grad(total))


@functools.lru_cache(maxsize=64)
def _compile_reading(held: ModelCall) -> Callable[..., dict[str, Any]]:
    def read(arrays):
        values = []
        model = put_unconstrained(
            handlers.seed(lambda arrays: values.append(held.run_held(arrays)[1]), 0), origin_of
        )
        with handlers.block():
            model(arrays)
        return values[0]

    return jax.jit(read)
