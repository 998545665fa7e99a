"""How far a discriminator and a generator's loss are from what is known of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.gaussian_gan.data import find_bulk, kl_divergence, optimal_discriminator

__all__ = ["Judgement", "judge"]


@dataclass(frozen=True)
class Judgement:
    """A discriminator beside the best one.

    Attributes:
        x: Grid over the bulk of data and fakes, ``[point]``.
        found: Discriminator on the grid.
        best: ``p / (p + q)`` on the grid.
        loss: The generator's loss, ``-E log(D / (1 - D))``, with the discriminator found.
        divergence: ``KL(q || p)``, which that loss is with the best one.
    """

    x: np.ndarray
    found: np.ndarray
    best: np.ndarray
    loss: float
    divergence: float

    @property
    def discriminator_error(self) -> float:
        """Largest distance of the discriminator from the best one on the bulk."""
        return float(np.abs(self.found - self.best).max())

    @property
    def loss_error(self) -> float:
        """Distance of the generator's loss from the divergence, as a share of it."""
        return abs(self.loss / self.divergence - 1)


def judge(
    discriminator: Callable[[np.ndarray], np.ndarray], loss: float, loc: float, scale: float
) -> Judgement:
    """Set a discriminator of ``Normal(loc, scale)`` and the generator's loss beside the truth."""
    x = find_bulk(loc, scale)
    best = optimal_discriminator(x, loc, scale)
    return Judgement(x, discriminator(x), best, loss, kl_divergence(loc, scale))
