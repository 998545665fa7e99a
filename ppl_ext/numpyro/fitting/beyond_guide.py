"""The way of a fit from its first guide to draws that can be trusted."""

from dataclasses import replace

import jax
import numpy as np

from ppl_ext.climbing import climb_from, stay_below
from ppl_ext.correction import Correction
from ppl_ext.fitting.settings import Deterministic, Stochastic
from ppl_ext.numpyro.fitting.deterministic import fit_deterministic
from ppl_ext.numpyro.fitting.notes import add_notes
from ppl_ext.numpyro.fitting.result import Fit
from ppl_ext.numpyro.reparameterisation import reparameterise
from ppl_ext.numpyro.tracing.bound_model import x64_scope
from ppl_ext.numpyro.tracing.density import density_of
from ppl_ext.numpyro.tracing.rng_keys import seed_from

__all__ = ["climb_beyond"]


def climb_beyond(
    rng_key: jax.Array,
    fit: Fit,
    settings: Deterministic | Stochastic,
    correction: Correction,
    progress_bar: bool,
) -> Fit:
    """Climb from a fit whose guide nobody named.

    Args:
        rng_key: Random key of the fit.
        fit: The fit.
        settings: How it was fitted, and how it is fitted in other coordinates.
        correction: What the last step may cost.
        progress_bar: Whether to draw a bar.

    Returns:
        The best fit that was reached, with its climb and its report.
    """
    if fit.solution is None or isinstance(settings, Stochastic):
        sites = fit.bound.sites
        plates = [plate.name for plate in sites.plates if plate.subsamples]
        return replace(fit, climb=stay_below(plates, sites.parameters))
    best, climb, report = climb_from(
        fit,
        correction,
        refits=[("reparameterised", lambda last: _refit(rng_key, last, settings, progress_bar))],
        seed=int(seed_from(rng_key).generate_state(2)[1]),
        progress_bar=progress_bar,
    )
    return replace(best, climb=climb, _reports=[] if report is None else [report])


def _refit(
    rng_key: jax.Array, fit: Fit, settings: Deterministic, progress_bar: bool
) -> Fit | None:
    """A fit in coordinates in which a Gaussian of the same family follows better, if any."""
    bound = reparameterise(fit.bound, fit.density, fit.solution)
    if bound is None:
        return None
    with x64_scope(bound.x64):
        guide = type(fit.guide)(bound.model, prefix=fit.guide.prefix)
        guide._set_up(bound)
        density = density_of(bound)
        params, log, solution = fit_deterministic(
            rng_key, bound, density, guide, settings, progress_bar
        )
        params = jax.tree.map(np.asarray, dict(params))
    return Fit(guide, params, add_notes(log, bound), density, solution, bound)
