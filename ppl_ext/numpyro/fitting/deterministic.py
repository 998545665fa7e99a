"""The road through the deterministic solver, and beyond it for a flow."""

from dataclasses import replace
from typing import Any

import jax

from ppl_ext.density import Density
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi import GaussianSolution, solve_full_rank, solve_mean_field
from ppl_ext.numpyro.guides.flat import AbstractFlatGuide
from ppl_ext.numpyro.guides.flow import AutoFlow
from ppl_ext.numpyro.guides.full_rank import AutoFullRank
from ppl_ext.numpyro.tracing.bound_model import BoundModel
from ppl_ext.numpyro.tracing.compiled_density import compile_density
from ppl_ext.numpyro.tracing.rng_keys import whole_seed_from

__all__ = ["fit_deterministic"]


def fit_deterministic(
    rng_key: jax.Array,
    bound: BoundModel,
    density: Density,
    guide: AbstractFlatGuide,
    settings: Deterministic,
    progress_bar: bool,
) -> tuple[dict[str, Any], FitLog, GaussianSolution | None]:
    """Fit a guide of ours by the solver of the hall; a flow goes on from there.

    Args:
        rng_key: Random key.
        bound: The model.
        density: Its log density.
        guide: The guide.
        settings: Draws, tolerances and limits.
        progress_bar: Whether to draw a bar.

    Returns:
        The parameters, the log, and the solver's Gaussian where the guide is one.
    """
    compile_seconds = compile_density(bound.call).compile_log_density(bound.arrays)
    if isinstance(guide, AutoFlow):
        from ppl_ext.numpyro.fitting.flows.flow_fit import fit_flow  # slow to import

        params, log = fit_flow(rng_key, bound, density, guide, settings, progress_bar)
        return params, replace(log, compile_seconds=compile_seconds), None
    solve = solve_full_rank if isinstance(guide, AutoFullRank) else solve_mean_field
    seed = whole_seed_from(rng_key)
    solution = solve(density, settings, seed=seed, progress_bar=progress_bar)
    log = replace(solution.log, compile_seconds=compile_seconds)
    return guide.set_gaussian(solution.loc, solution.scale), log, solution
