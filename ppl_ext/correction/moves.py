"""Moves that leave a density on the path invariant: Hamiltonian near, independent far."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ppl_ext.correction.mixture import Mixture
from ppl_ext.correction.path import Particles, Path
from ppl_ext.correction.transport import Transport

__all__ = ["Mover", "Trip"]

# Lengths vary, as a period of the motion that they meet would bring every particle back; but not
# far from a quarter of it, which leaves neither a value nor its square with a memory.
_JITTER, _VARIED = 0.3, 0.25
_ACCEPT = 0.8
_SMALLEST, _LONGEST = 1e-4, 2.0
_MOST_STEPS = 64


@dataclass(frozen=True)
class Trip:
    """What one move of all particles was like.

    Args:
        acceptance: Mean probability of acceptance.
    """

    acceptance: float


@dataclass(frozen=True)
class Mover:
    """Moves at one temperature, in the coordinates that the particles suggest.

    Where there are several modes a particle's label says whose coordinates it moves in. The label
    is a variable of its own, distributed as the mixture says of its place.

    Args:
        path: The path.
        temperature: Where on it.
        mixture: The coordinates of each part, and the density that they describe.
        step: Length of a step in these coordinates.
        length: Length of a trajectory.
    """

    path: Path
    temperature: float
    mixture: Mixture
    step: float
    length: float = 0.5 * np.pi

    @property
    def num_steps(self) -> int:
        """Steps of a trajectory of the length wanted."""
        return int(min(max(np.ceil(self.length / self.step), 1), _MOST_STEPS))

    @property
    def most_steps(self) -> int:
        """Steps of the longest trajectory."""
        return int((1 + _VARIED) * self.num_steps)

    def tune(self, trip: Trip) -> Mover:
        """The next step after what a move was like."""
        step = self.step * np.exp(trip.acceptance - _ACCEPT)
        return replace(self, step=float(np.clip(step, _SMALLEST, _LONGEST)))

    def move(self, particles: Particles, rng: np.random.Generator) -> tuple[Particles, Trip]:
        """Move every particle along a Hamiltonian trajectory."""
        count, dim = particles.z.shape
        shortest = int(np.ceil((1 - _VARIED) * self.num_steps))
        steps = int(rng.integers(shortest, self.most_steps, endpoint=True))
        step = self.step * np.exp(_JITTER * rng.standard_normal((count, 1)))
        momentum = rng.standard_normal((count, dim))
        w = self._pull(particles)
        with np.errstate(over="ignore", invalid="ignore"):
            value, slope = self._value_and_slope(w, particles)
            energy = 0.5 * (momentum**2).sum(1) - value
            moved = particles
            for _ in range(steps):
                momentum = momentum + 0.5 * step * slope
                w = w + step * momentum
                moved = self.path.visit(self._push(w, particles.label), particles.label)
                value, slope = self._value_and_slope(w, moved)
                momentum = momentum + 0.5 * step * slope
            lost = 0.5 * (momentum**2).sum(1) - value - energy
            lost += self._log_label(particles) - self._log_label(moved)
            acceptance = np.nan_to_num(np.exp(-np.maximum(lost, 0.0)))
        return self._accept(particles, moved, acceptance, rng)

    def leap(self, particles: Particles, rng: np.random.Generator) -> tuple[Particles, Trip]:
        """Propose to every particle a point and label drawn afresh from the mixture."""
        with np.errstate(over="ignore", invalid="ignore"):
            z, label = self.mixture.draw(len(particles.z), rng)
            moved = self.path.visit(z, label)
            gain = self._surplus(moved) - self._surplus(particles)
            acceptance = np.nan_to_num(np.exp(np.minimum(gain, 0.0)))
        return self._accept(particles, moved, acceptance, rng)

    def relabel(self, particles: Particles, rng: np.random.Generator) -> Particles:
        """Draw every particle's label anew, given its place."""
        if len(self.mixture.transports) == 1:
            return particles
        below = np.cumsum(np.exp(self.mixture.log_responsibilities(particles.z)), axis=0)
        label = (rng.uniform(size=len(particles.z)) > below[:-1]).sum(0)
        return replace(particles, label=label)

    def _surplus(self, particles: Particles) -> np.ndarray:
        """Log density less that of the proposal, NaN where nothing would be proposed."""
        value, _ = self.path.value_and_slope(particles, self.temperature)
        log_proposal = self.mixture.log_density(particles.z)
        return np.asarray(np.where(np.isneginf(log_proposal), np.nan, value - log_proposal))

    def _log_label(self, particles: Particles) -> np.ndarray | float:
        """Log probability of each particle's label given its place."""
        if len(self.mixture.transports) == 1:
            return 0.0
        every = self.mixture.log_responsibilities(particles.z)
        own: np.ndarray = np.take_along_axis(every, particles.label[None], axis=0)[0]
        return own

    def _accept(
        self,
        particles: Particles,
        moved: Particles,
        acceptance: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[Particles, Trip]:
        kept = np.flatnonzero(rng.uniform(size=len(acceptance)) < acceptance)
        result = particles.take(np.arange(len(acceptance)))
        result.put(kept, moved.take(kept))
        return result, Trip(float(acceptance.mean()))

    def _pull(self, particles: Particles) -> np.ndarray:
        w = np.empty_like(particles.z)
        for transport, mine in self._groups(particles.label):
            w[mine] = transport.pull(particles.z[mine])
        return w

    def _push(self, w: np.ndarray, label: np.ndarray) -> np.ndarray:
        z = np.empty_like(w)
        for transport, mine in self._groups(label):
            z[mine] = transport.push(w[mine])
        return z

    def _value_and_slope(
        self, w: np.ndarray, particles: Particles
    ) -> tuple[np.ndarray, np.ndarray]:
        value, slope = self.path.value_and_slope(particles, self.temperature)
        value, slope = value.copy(), slope.copy()
        for transport, mine in self._groups(particles.label):
            value[mine], slope[mine] = transport.value_and_slope(w[mine], value[mine], slope[mine])
        return value, slope

    def _groups(self, label: np.ndarray) -> list[tuple[Transport, slice | np.ndarray]]:
        """Each part's coordinates and the rows of its particles."""
        if len(self.mixture.transports) == 1:
            return [(self.mixture.transports[0], slice(None))]
        return [(transport, label == k) for k, transport in enumerate(self.mixture.transports)]
