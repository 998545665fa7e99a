"""How much is spent on the neural posterior, in both hosts."""

from dataclasses import dataclass

__all__ = ["FULL", "SMOKE", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """Numbers of spectra and draws.

    Attributes:
        spectra: Spectra of an epoch; each epoch has its own.
        epochs: Number of epochs.
        layers: Layers of the flow; 0 for a Gaussian instead, which takes no time to compile.
        hidden: Width of their networks.
        assessed: Spectra, simulated afterwards, whose posteriors are drawn to see their coverage.
        weighed: How many of them have their draws weighed by the model's density.
        draws: Draws that are weighed, of each.
        effective: Draws of a corrected posterior.
        gradients: Most gradients that the correction of one spectrum may cost.
    """

    spectra: int = 20_000
    epochs: int = 180
    layers: int = 3
    hidden: int = 128
    assessed: int = 2000
    weighed: int = 100
    draws: int = 4000
    effective: int = 1000
    gradients: int = 20_000_000


FULL = Recipe()
SMOKE = Recipe(
    **{"spectra": 1000, "epochs": 2, "layers": 0, "assessed": 50, "weighed": 2, "draws": 500},
    **{"effective": 50, "gradients": 20_000},
)
