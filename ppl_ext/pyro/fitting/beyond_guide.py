"""The way of a fit from its first guide to draws that can be trusted."""

from collections.abc import Callable
from dataclasses import replace

from ppl_ext.climbing import climb_from, stay_below
from ppl_ext.correction import Correction
from ppl_ext.pyro.fitting.result import Fit

__all__ = ["climb_beyond"]

# Steps that fit a Gaussian anew in other coordinates: their names, and functions of the fit, the
# seed and the wish for a bar, which return None where they can do nothing.
_REFITS: tuple[tuple[str, Callable[[Fit, int, bool], Fit | None]], ...] = ()


def climb_beyond(fit: Fit, settings: Correction, seed: int, progress_bar: bool) -> Fit:
    """Climb from a fit whose guide nobody named.

    Args:
        fit: The fit.
        settings: What the last step may cost.
        seed: Seed of the fit.
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
            (name, lambda last, refit=refit: refit(last, seed, progress_bar))
            for name, refit in _REFITS
        ],
        seed=seed,
        progress_bar=progress_bar,
    )
    return replace(best, climb=climb, _reports=[] if report is None else [report])
