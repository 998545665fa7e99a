"""The settings of a fit, as starts and sweeps read them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ppl_ext.factorization.model.noise import Noise
from ppl_ext.factorization.model.priors import AbstractPrior

__all__ = ["ModelSettings"]


class ModelSettings(Protocol):
    """What starts and sweeps read of the settings of a fit."""

    @property
    def num_factors(self) -> int:
        """Length of the factors."""

    @property
    def biases(self) -> bool:
        """Whether there are biases."""

    @property
    def diagonal(self) -> bool:
        """Whether covariances are diagonal."""

    @property
    def center(self) -> float | None:
        """The constant; the mean of the ratings if None."""

    @property
    def user_prior(self) -> AbstractPrior:
        """What the prior of the users learns."""

    @property
    def item_prior(self) -> AbstractPrior:
        """What the prior of the items learns."""

    @property
    def noise(self) -> Noise:
        """What the noise learns."""

    @property
    def start_sds(self) -> tuple[float, float] | None:
        """Standard deviations of the start."""

    @property
    def tolerance(self) -> float:
        """Rise of the ELBO in a sweep, in nats per rating, that is too little to go on."""

    @property
    def max_sweeps(self) -> int:
        """The limit."""

    @property
    def num_threads(self) -> int | None:
        """Threads to run on; one for each processor if None."""

    @property
    def seed(self) -> int:
        """Seed of the starts."""

    @property
    def dtype(self) -> np.dtype:
        """Type of what is stored."""
