"""Calibrate a fit on a NumPyro model in one call."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpyro
import optax

from ppl_ext.calibration import Calibration
from ppl_ext.calibration.simulate_and_fit import Simulation, check_data, place_truths
from ppl_ext.climbing import raise_interrupt
from ppl_ext.correction import Correction
from ppl_ext.draws.draws import Draws
from ppl_ext.fitting.calls import check_count
from ppl_ext.fitting.settings import Deterministic, Stochastic
from ppl_ext.numpyro.calibration.simulation import condition_on, make_simulator
from ppl_ext.numpyro.fitting.entry import fit
from ppl_ext.numpyro.fitting.result import Fit
from ppl_ext.numpyro.tracing.bound_model import bind_model
from ppl_ext.numpyro.tracing.refusals import refuse_latents, refuse_subsampling
from ppl_ext.numpyro.tracing.rng_keys import check_rng_key, seed_from
from ppl_ext.numpyro.tracing.sites import name_dims
from ppl_ext.numpyro.tracing.turns import in_turn

__all__ = ["calibrate"]

_HostOptimizer = numpyro.optim._NumPyroOptim | optax.GradientTransformation


@in_turn
def calibrate(
    rng_key: jax.Array,
    model: Callable[..., Any],
    *args: Any,
    num_simulations: int = 100,
    num_draws: int = 400,
    guide: Callable[..., Any] | type | None = None,
    optimizer: Deterministic | Stochastic | _HostOptimizer | None = None,
    climb: bool | Correction = True,
    num_starts: int = 4,
    progress_bar: bool = True,
    **kwargs: Any,
) -> Calibration:
    """Fit data simulated from a model, again and again, and see where the truth lies.

    Latent sites are drawn from their priors and data in place of those that were given, whose
    values are not used; shapes and covariates stay. What ``fit(model, ...)`` then answers is
    compared with what the data were made of. Calibrated fits are right on average over the prior;
    about the data at hand ``fit(...).report()`` knows more. All fits share their compiled program.

    Args:
        rng_key: Random key; the same key gives the same answer.
        model: NumPyro model, with proper priors.
        *args: Positional arguments of the model, its data among them.
        num_simulations: How often to simulate and fit.
        num_draws: Draws of each fit.
        guide: As `fit` takes it.
        optimizer: As `fit` takes it.
        climb: As `fit` takes it: without a guide the whole climb is calibrated.
        num_starts: As `fit` takes it.
        progress_bar: Whether to draw a bar where there is a terminal.
        **kwargs: Keyword arguments of the model.

    Returns:
        Places of the truths among the draws, with a verdict; after Ctrl-C of the simulations that
        were finished.

    Raises:
        ValueError: The model cannot be simulated: it has no observed site, an improper prior, a
            factor, or draws minibatches.

    Example:
        >>> import jax, numpy as np, numpyro, numpyro.distributions as dist
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        ...     with numpyro.plate("row", len(y)):
        ...         numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> found = calibrate(jax.random.key(0), model, np.zeros(5), num_simulations=20)
        >>> found.ok, sorted(found.pit)
        (True, ['log likelihood', 'mu'])

    References:
        Talts, Betancourt, Simpson, Vehtari, Gelman (2018), Validating Bayesian inference
        algorithms with simulation-based calibration, arXiv:1804.06788.
        Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman, Vehtari (2023),
        Simulation-based calibration checking for Bayesian computation: the choice of test
        quantities shapes sensitivity, Bayesian Analysis.
    """
    line = "calibrate(rng_key, model, *args)"
    check_rng_key("calibrate", rng_key, "calibrate(jax.random.key(0), model, *args)")
    check_count("calibrate", "num_simulations", num_simulations, f"num_simulations=100 in {line}")
    check_count("calibrate", "num_draws", num_draws, f"num_draws=400 in {line}")
    bound = bind_model("calibrate", model, args, kwargs)
    refuse_latents(bound)
    check_data(
        [site.name for site in bound.sites.latents], [site.name for site in bound.sites.observed]
    )
    refuse_subsampling(bound, "Leave out subsample_size.")
    draw_simulation = make_simulator(bound)
    conditioned = condition_on(bound.model)
    args, kwargs = bound.given
    simulation_key, fit_key, draw_key = jax.random.split(rng_key, 3)

    def simulate(index: int) -> Simulation:
        return draw_simulation(jax.random.fold_in(simulation_key, index))

    def fit_to(index: int, simulation: Simulation) -> tuple[Draws, str]:
        fitted = fit(
            jax.random.fold_in(fit_key, index), conditioned, dict(simulation.data), *args,
            guide=guide, optimizer=optimizer, climb=climb, num_starts=num_starts,
            progress_bar=False, **kwargs,
        )  # fmt: skip
        raise_interrupt(fitted.log, fitted.climb)
        draws = fitted.draws(jax.random.fold_in(draw_key, index), num_draws)
        return draws, _name_outcome(fitted)

    return place_truths(
        simulate,
        fit_to,
        num_simulations,
        np.random.default_rng(seed_from(rng_key)),
        dims=name_dims(bound.sites),
        progress_bar=progress_bar,
    )


def _name_outcome(fitted: Fit) -> str:
    """The verdict that a climb has, and what the optimiser says of a guide that was named."""
    return fitted.log.end if fitted.climb is None else str(fitted.report().verdict)
