"""The way of a fit from its first guide to draws that can be trusted."""

from collections.abc import Callable
from dataclasses import replace

import jax

from ppl_ext.climbing import climb_from, stay_below
from ppl_ext.correction import Correction
from ppl_ext.numpyro.fitting.result import Fit
from ppl_ext.numpyro.tracing.rng_keys import seed_from

__all__ = ["climb_beyond"]

# Steps that fit a Gaussian anew in other coordinates: their names, and functions of the key, the
# fit and the wish for a bar, which return None where they can do nothing.
_REFITS: tuple[tuple[str, Callable[[jax.Array, Fit, bool], Fit | None]], ...] = ()


def climb_beyond(rng_key: jax.Array, fit: Fit, settings: Correction, progress_bar: bool) -> Fit:
    """Climb from a fit whose guide nobody named.

    Args:
        rng_key: Random key of the fit.
        fit: The fit.
        settings: What the last step may cost.
        progress_bar: Whether to draw a bar.

    Returns:
        The best fit that was reached, with its climb and its report.
    """
    if fit.solution is None:
        sites = fit.bound.sites
        plates = [plate.name for plate in sites.plates if plate.subsamples]
        return replace(fit, climb=stay_below(plates, sites.parameters))
    best, climb, report = climb_from(
        fit,
        settings,
        refits=[
            (name, lambda last, refit=refit: refit(rng_key, last, progress_bar))
            for name, refit in _REFITS
        ],
        seed=int(seed_from(rng_key).generate_state(2)[1]),
        progress_bar=progress_bar,
    )
    return replace(best, climb=climb, _reports=[] if report is None else [report])
