"""The settings of a fit."""

from dataclasses import dataclass

__all__ = ["DIGITS", "MNIST", "Settings"]


@dataclass(frozen=True)
class Settings:
    """How the auto-encoder is built, and what bound it is trained on.

    Attributes:
        dim: Dimension of the latent z.
        hidden: Width of the hidden layers of both networks.
        layers: Hidden layers of each.
        batch: Images of a step.
        epochs: Passes through the images, at most.
        step_size: Of Adam, whose weights are averaged; None tries four.
        held_out: Share of the images for training that is kept from it to tell when to cut the
            step and when to end; 0 for none.
        analytic: Whether the divergence is taken in closed form, or from the draw of z.
        reconstruct: Whether the bound has its first term, the log-likelihood.
        regularise: Whether it has the other, the divergence from the prior.
    """

    dim: int = 10
    hidden: int = 256
    layers: int = 2
    batch: int = 128
    epochs: int = 60
    step_size: float | None = 5e-3
    held_out: float = 0.0
    analytic: bool = True
    reconstruct: bool = True
    regularise: bool = True


# Chosen on parts of the images for training, as was the number of epochs.
DIGITS = Settings()
MNIST = Settings(dim=20, hidden=400, epochs=10, step_size=3e-3)
