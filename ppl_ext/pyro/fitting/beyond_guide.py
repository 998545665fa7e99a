"""The way of a fit from its first guide to draws that can be trusted."""

import copy
from dataclasses import replace

from ppl_ext.climbing import climb_from, stay_below
from ppl_ext.correction import Correction
from ppl_ext.fitting.settings import Deterministic, Stochastic
from ppl_ext.pyro.fitting.deterministic import fit_deterministic
from ppl_ext.pyro.fitting.notes import add_notes
from ppl_ext.pyro.fitting.own_copies import read_params
from ppl_ext.pyro.fitting.result import Fit
from ppl_ext.pyro.reparameterisation import reparameterise
from ppl_ext.pyro.tracing.density import density_of
from ppl_ext.pyro.tracing.isolation import model_scope, own_param_store, own_random_state

__all__ = ["climb_beyond"]


def climb_beyond(
    fit: Fit,
    settings: Deterministic | Stochastic,
    correction: Correction,
    seed: int,
    progress_bar: bool,
) -> Fit:
    """Climb from a fit whose guide nobody named.

    Args:
        fit: The fit.
        settings: How it was fitted, and how it is fitted in other coordinates.
        correction: What the last step may cost.
        seed: Seed of the fit.
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
        refits=[("reparameterised", lambda last: _refit(last, settings, seed, progress_bar))],
        seed=seed,
        progress_bar=progress_bar,
    )
    return replace(best, climb=climb, _reports=[] if report is None else [report])


def _refit(fit: Fit, settings: Deterministic, seed: int, progress_bar: bool) -> Fit | None:
    """A fit in coordinates in which a Gaussian of the same family follows better, if any."""
    bound = reparameterise(fit.bound, fit.density, fit.solution)
    if bound is None:
        return None
    guide = type(fit.guide)(bound.model)
    with model_scope(), own_random_state(seed), own_param_store():
        guide.setup(*bound.args, **bound.kwargs)
    density = density_of(bound)
    solution = fit_deterministic(density, guide, settings, seed, progress_bar)
    log = add_notes(solution.log, bound, density)
    guide = copy.deepcopy(guide)
    return Fit(guide, read_params(guide, None), log, density, solution, bound)
