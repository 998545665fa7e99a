"""Models with parameters on the deterministic road: their density and their fit."""

import numpy as np
import torch
from pyro import poutine

from ppl_ext.density import ParametricDensity
from ppl_ext.fitting.settings import Deterministic
from ppl_ext.gaussian_vi import GaussianSolution, solve_full_rank, solve_mean_field
from ppl_ext.gaussian_vi.parameters import MOST_PARAMETERS, solve_with_parameters
from ppl_ext.pyro.guides.flat import AbstractFlatGuide
from ppl_ext.pyro.guides.full_rank import AutoFullRank
from ppl_ext.pyro.guides.gaussian import AbstractGaussianGuide
from ppl_ext.pyro.tracing.batched_density import batch_size, in_batches
from ppl_ext.pyro.tracing.bound_model import BoundModel
from ppl_ext.pyro.tracing.density import density_of
from ppl_ext.pyro.tracing.held_parameters import HeldStore
from ppl_ext.pyro.tracing.hidden_draws import find_hidden_draws
from ppl_ext.pyro.tracing.isolation import model_scope, own_param_store, own_random_state
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["find_obstacle", "find_parameters", "fit_with_parameters"]


def find_parameters(bound: BoundModel, seed: int) -> HeldStore:
    """Run a model once and hold its parameters at the values that it gives them.

    Args:
        bound: The model.
        seed: Seed of parameters that start at random.
    """
    with model_scope(), own_random_state(seed), own_param_store() as state, torch.no_grad():
        with poutine.trace(param_only=True) as capture:
            bound.visit(torch.zeros(bound.dim, dtype=bound.dtype, device=bound.device))
        nodes = capture.trace.nodes.values()
        leaves = {id(leaf): leaf for leaf in (node["value"].unconstrained() for node in nodes)}
    return HeldStore(state, tuple((leaf, leaf.detach().clone()) for leaf in leaves.values()))


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
    parameters = find_parameters(bound, seed=0)
    size = len(parameters.theta)
    if size > MOST_PARAMETERS:
        return f"the model has {size:,} parameters, more than {MOST_PARAMETERS:,}"
    point = torch.zeros(bound.dim, dtype=bound.dtype, device=bound.device)
    with parameters.in_force(), model_scope(), own_random_state(0), torch.no_grad():
        hidden = find_hidden_draws(lambda: bound.visit(point))
    if hidden:
        return f"the model draws {', '.join(hidden)} beside its sample statements"
    return ""


def fit_with_parameters(
    bound: BoundModel,
    guide: AbstractGaussianGuide,
    settings: Deterministic,
    seed: int,
    progress_bar: bool,
) -> tuple[BoundModel, GaussianSolution]:
    """Fit a Gaussian guide and the parameters of its model by the solver of the hall.

    Args:
        bound: The model; it can be held.
        guide: The guide; it is left with the fitted parameters, and so are modules of the model.
        settings: Draws, tolerances and limits.
        seed: Seed of the starts and draws, and of parameters that start at random.
        progress_bar: Whether to draw a bar.

    Returns:
        The model with its parameters held, and the solver's Gaussian, its log with it.
    """
    parameters = find_parameters(bound, seed)
    density = _parametric_density(bound, parameters)
    solve = solve_full_rank if isinstance(guide, AutoFullRank) else solve_mean_field
    solution = solve_with_parameters(
        density, solve, settings, seed=seed, progress_bar=progress_bar
    )
    gaussian, fitted = solution.gaussian, parameters.at(solution.theta)
    guide.set_gaussian(gaussian.loc, gaussian.scale)
    fitted.leave()
    return bound.hold(fitted), gaussian


def _parametric_density(bound: BoundModel, parameters: HeldStore) -> ParametricDensity:
    batched = density_of(bound.hold(parameters)).batched
    size = batch_size(max(bound.work, bound.dim)) if batched else 1
    leaves, count = parameters.leaves, len(parameters.theta)
    vectorised = torch.func.vmap(lambda z: bound.visit(z).log_p, randomness="same")

    def slope_of(z: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.enable_grad():
            log_p = vectorised(z).sum() if len(z) > 1 else bound.visit(z[0]).log_p
            parts = torch.autograd.grad(log_p, leaves, allow_unused=True, materialize_grads=True)
        return {"slope": torch.cat([part.reshape(-1).double() for part in parts])[None]}

    @in_turn
    def gradient(z: np.ndarray, theta: np.ndarray) -> np.ndarray:
        with parameters.at(theta).in_force():
            sums = in_batches(slope_of, bound.points(z), {"slope": (count,)}, size)["slope"]
        return sums.sum(0) / len(z)

    return ParametricDensity(
        parameters=parameters.sites,
        start=parameters.theta,
        at=lambda theta: density_of(bound.hold(parameters.at(theta)), batched=batched),
        gradient=gradient,
    )
