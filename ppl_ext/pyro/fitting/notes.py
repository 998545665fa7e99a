"""What the reader of a log should know about the model that was fitted."""

from dataclasses import replace

from ppl_ext.density import Density
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.pyro.tracing.bound_model import BoundModel

__all__ = ["add_notes"]


def add_notes(log: FitLog, bound: BoundModel, density: Density | None) -> FitLog:
    """The log of a fit with notes on models that are called draw by draw and on circles.

    Args:
        log: The log.
        bound: The model.
        density: Its log density, None where it has none.
    """
    return replace(log, notes=(*log.notes, *_note_density(density), *_note_circles(bound)))


def _note_density(density: Density | None) -> list[str]:
    if density is None or density.batched:
        return []
    return [
        "the model could not be vectorised and was called draw by draw; write branches on sampled "
        "values with torch.where"
    ]


def _note_circles(bound: BoundModel) -> list[str]:
    return [
        f"site '{site.name}' is circular and was cut open at -pi and pi; where its mass lies "
        "across the cut, turn the circle: sample an angle that is pi less, "
        f"{site.distribution}(loc - torch.pi, ...), and write "
        f"pyro.deterministic('{site.name}', angle + torch.pi)"
        for site in bound.sites.latents
        if site.circular
    ]
