"""What the reader of a log should know about the model that was fitted."""

from dataclasses import replace

import numpy as np

from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.numpyro.tracing.bound_model import BoundModel

__all__ = ["add_notes"]


def add_notes(log: FitLog, bound: BoundModel) -> FitLog:
    """The log of a fit with notes on precision and on circles.

    Args:
        log: The log.
        bound: The model.
    """
    notes = (*log.notes, *_note_precision(bound.x64, log), *_note_circles(bound))
    return replace(log, notes=notes)


def _note_precision(x64: bool, log: FitLog) -> list[str]:
    if x64 or not len(log.losses):
        return []
    rounding = float(np.finfo(np.float32).eps) * abs(log.final_loss)
    return [
        f"float32 rounds log densities near {log.final_loss:,.0f} to about {rounding:.1g} nats; "
        "enable_x64=True runs this fit in float64"
    ]


def _note_circles(bound: BoundModel) -> list[str]:
    return [
        f"site '{site.name}' is circular and was cut open at -pi and pi; where its mass lies "
        "across the cut, turn the circle: sample an angle that is pi less, "
        f"{site.distribution}(loc - jnp.pi, ...), and write "
        f"numpyro.deterministic('{site.name}', angle + jnp.pi)"
        for site in bound.sites.latents
        if site.circular
    ]
