"""Calibrate a fit on a Pyro model in one call."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pyro.optim import PyroOptim

from ppl_ext.calibration import Calibration
from ppl_ext.calibration.simulate_and_fit import Simulation, check_data, place_truths
from ppl_ext.climbing import raise_interrupt
from ppl_ext.correction import Correction
from ppl_ext.draws.draws import Draws
from ppl_ext.fitting.calls import check_count
from ppl_ext.fitting.settings import Deterministic, Stochastic
from ppl_ext.pyro.calibration.simulation import condition_on, draw_simulation
from ppl_ext.pyro.fitting.entry import fit
from ppl_ext.pyro.fitting.result import Fit
from ppl_ext.pyro.tracing.bound_model import bind_model
from ppl_ext.pyro.tracing.refusals import refuse_latents, refuse_subsampling
from ppl_ext.pyro.tracing.sites import name_dims
from ppl_ext.pyro.tracing.turns import in_turn

__all__ = ["calibrate"]


@in_turn
def calibrate(
    model: Callable[..., Any],
    *args: Any,
    num_simulations: int = 100,
    num_draws: int = 400,
    guide: Callable[..., Any] | type | None = None,
    optimizer: Deterministic | Stochastic | PyroOptim | torch.optim.Optimizer | None = None,
    climb: bool | Correction = True,
    num_starts: int = 4,
    progress_bar: bool = True,
    seed: int = 0,
    **kwargs: Any,
) -> Calibration:
    """Fit data simulated from a model, again and again, and see where the truth lies.

    Latent sites are drawn from their priors and data in place of those that were given, whose
    values are not used; shapes and covariates stay. What ``fit(model, ...)`` then answers is
    compared with what the data were made of. Calibrated fits are right on average over the prior;
    about the data at hand ``fit(...).report()`` knows more. Nothing is compiled anew for a fit.

    Args:
        model: Pyro model, with proper priors.
        *args: Positional arguments of the model, its data among them.
        num_simulations: How often to simulate and fit.
        num_draws: Draws of each fit.
        guide: As `fit` takes it.
        optimizer: As `fit` takes it.
        climb: As `fit` takes it: without a guide the whole climb is calibrated.
        num_starts: As `fit` takes it.
        progress_bar: Whether to draw a bar where there is a terminal.
        seed: Seed of all draws; the same seed gives the same answer.
        **kwargs: Keyword arguments of the model.

    Returns:
        Places of the truths among the draws, with a verdict; after Ctrl-C of the simulations that
        were finished.

    Raises:
        ValueError: The model cannot be simulated: it has no observed site, an improper prior, a
            factor, or draws minibatches.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> def model(y):
        ...     mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        ...     with pyro.plate("row", len(y)):
        ...         pyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> found = calibrate(model, torch.zeros(5), num_simulations=20)
        >>> found.ok, sorted(found.pit)
        (True, ['log likelihood', 'mu'])

    References:
        Talts, Betancourt, Simpson, Vehtari, Gelman (2018), Validating Bayesian inference
        algorithms with simulation-based calibration, arXiv:1804.06788.
        Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman, Vehtari (2023),
        Simulation-based calibration checking for Bayesian computation: the choice of test
        quantities shapes sensitivity, Bayesian Analysis.
    """
    line = "calibrate(model, *args)"
    check_count("calibrate", "num_simulations", num_simulations, f"num_simulations=100 in {line}")
    check_count("calibrate", "num_draws", num_draws, f"num_draws=400 in {line}")
    bound = bind_model("calibrate", model, args, kwargs)
    refuse_latents(bound)
    check_data(
        [site.name for site in bound.sites.latents], [site.name for site in bound.sites.observed]
    )
    refuse_subsampling(bound, "")
    conditioned = condition_on(bound.model)
    seeds = np.random.SeedSequence(seed).generate_state(2 * num_simulations).reshape(-1, 2)

    def simulate(index: int) -> Simulation:
        return draw_simulation(bound, int(seeds[index, 0]))

    def fit_to(index: int, simulation: Simulation) -> tuple[Draws, str]:
        data = {
            name: torch.as_tensor(array, device=bound.device)
            for name, array in simulation.data.items()
        }
        fitted = fit(
            conditioned, data, *bound.args,
            guide=guide, optimizer=optimizer, climb=climb, num_starts=num_starts,
            progress_bar=False, seed=int(seeds[index, 1]), **bound.kwargs,
        )  # fmt: skip
        raise_interrupt(fitted.log, fitted.climb)
        return fitted.draws(num_draws), _name_outcome(fitted)

    return place_truths(
        simulate,
        fit_to,
        num_simulations,
        np.random.default_rng(seed),
        dims=name_dims(bound.sites),
        progress_bar=progress_bar,
    )


def _name_outcome(fitted: Fit) -> str:
    """The verdict that a climb has, and what the optimiser says of a guide that was named."""
    return fitted.log.end if fitted.climb is None else str(fitted.report().verdict)
