"""The path from the start to the posterior, and the particles on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from ppl_ext.correction.start import Start

__all__ = ["Particles", "Path"]


@dataclass
class Particles:
    """Points with what moves need to know of them, all ``[particle]`` or ``[particle, dim]``.

    Args:
        z: Points on unconstrained space.
        log_p: Log density of the model there, ``-inf`` where it has none.
        log_p_slope: Its gradient, zero where it has none.
        label: Part of the start from which each particle descends.
    """

    z: np.ndarray
    log_p: np.ndarray
    log_p_slope: np.ndarray
    label: np.ndarray

    def take(self, rows: np.ndarray) -> Particles:
        """The particles of some rows, a row as often as it is named."""
        return Particles(*(getattr(self, field.name)[rows] for field in fields(self)))

    def put(self, rows: np.ndarray, others: Particles) -> None:
        """Replace the particles of some rows."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(others, field.name)


@dataclass(frozen=True)
class Path:
    """The densities ``start^(1 - t) model^t`` for temperatures ``t`` from 0 to 1.

    Args:
        log_density: Of the model, ``z[draw, dim] -> (log_p[draw], gradient[draw, dim])``.
        start: The normalised start.
    """

    log_density: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    start: Start

    def visit(self, z: np.ndarray, label: np.ndarray) -> Particles:
        """Particles at points: one gradient of the model for each.

        A value that is not finite is a place without density, and a gradient that is not finite
        becomes zero: a leapfrog step along any field whatever is reversible.
        """
        log_p, slope = self.log_density(z)
        log_p = np.where(np.isfinite(log_p), log_p, -np.inf)
        slope = np.where(np.isfinite(slope).all(1, keepdims=True), slope, 0.0)
        return Particles(z, log_p, slope, label)

    def weigh(self, particles: Particles) -> np.ndarray:
        """Log weight ``log model - log start`` of each particle."""
        log_weights: np.ndarray = particles.log_p - self.start.log_density(particles.z)[0]
        return log_weights

    def value_and_slope(
        self, particles: Particles, temperature: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log density and gradient at a temperature above 0."""
        if temperature == 1:
            return particles.log_p, particles.log_p_slope
        log_q, slope = self.start.log_density(particles.z)
        cold = 1 - temperature
        return (
            temperature * particles.log_p + cold * log_q,
            temperature * particles.log_p_slope + cold * slope,
        )
