"""Particles on several islands, on their way from the start to the posterior."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np

from ppl_ext.correction.mixing import Mixing, forgetting, measure_mixing
from ppl_ext.correction.mixture import Mixture
from ppl_ext.correction.moves import Mover
from ppl_ext.correction.path import Particles, Path
from ppl_ext.correction.renewal import Renewal, draw_renewal
from ppl_ext.correction.result import Stage
from ppl_ext.correction.settings import Correction
from ppl_ext.correction.temperatures import next_temperature, pool_evidence, resample
from ppl_ext.correction.transport import fit_transport
from ppl_ext.gaussian_vi.objective import CountedDensity

__all__ = ["ISLANDS", "DeadError", "Population", "SpentError"]

ISLANDS = 8
_SHARE = 0.5  # of the particles that stay effective from one temperature to the next
_HALFWAY, _FORGOTTEN = 0.5, 0.2  # memory at which a stage ends, on the way and at its end
_FEWEST_MOVES, _MANY_MOVES, _MOST_MOVES = 3, 12, 30
_REFITS = (1, 3, 7, 15)  # moves after which the coordinates are learned again
_SLOW, _LONGER, _LONGEST = 0.5, 1.25, 2 * np.pi
_FIRST_STEP = 0.3
_WORTHWHILE = 0.02  # share of far moves that have to arrive
_FRESH = 8  # points proposed for each particle of a renewal
_ENOUGH = 0.03  # share of them that has to be effective
_MOST_RENEWALS, _PATIENCE, _SAME_EVIDENCE = 8, 2, 0.02
_RECENT = 4  # states of every particle from which coordinates are learned
_STATES = 16  # kept of every particle before attempts are thinned


class SpentError(Exception):
    """The budget does not allow another move."""


class DeadError(Exception):
    """No step towards the posterior leaves enough particles."""


@dataclass
class Population:
    """Islands of particles, and what they have learned about moving.

    Args:
        path: The path.
        counted: The model's density, which counts.
        settings: What it may cost.
        rng: Source of randomness.
        particles: Of all islands, those of one island side by side.
    """

    path: Path
    counted: CountedDensity
    settings: Correction
    rng: np.random.Generator
    particles: Particles
    began: float = field(default_factory=time.perf_counter)
    temperature: float = 0.0
    log_evidences: np.ndarray = field(default_factory=lambda: np.zeros(ISLANDS))
    stages: list[Stage] = field(default_factory=list)
    step: float = _FIRST_STEP
    length: float = 0.5 * np.pi
    leaps: bool = True
    states: list[Particles] = field(default_factory=list)
    recent: list[Particles] = field(default_factory=list)
    renewal: Renewal | None = None

    @property
    def seconds(self) -> float:
        """Wall-clock time so far."""
        return time.perf_counter() - self.began

    def climb(self) -> None:
        """Go to the posterior, temperature by temperature."""
        while self.temperature < 1:
            log_weights = self.path.weigh(self.particles).reshape(ISLANDS, -1)
            following = next_temperature(log_weights, self.temperature, _SHARE)
            if following is None:
                raise DeadError
            rows, log_ratios = resample(log_weights, following - self.temperature, self.rng)
            self.afford(3 * len(rows))
            self.temperature = following
            self._resettle(self.particles.take(rows))
            self.log_evidences = self.log_evidences + log_ratios
            self.stages.append(Stage(following, 0, 0.0, 0, 1.0))
            self._forget(_FORGOTTEN if following == 1 else _HALFWAY)

    def renew(self) -> None:
        """Let the particles spread where their own density says that there is room.

        Moves are slow to find what the start did not reach, the neck of a funnel or the right
        shares of two modes. A density fitted to the particles reaches further than they do:
        fresh points from it, weighted, take their place until the evidence stays the same.
        """
        known, patience = pool_evidence(self.log_evidences)[0], 1
        for attempt in range(_MOST_RENEWALS):
            renewal = self.look_further()
            evidence, error = renewal.evidence
            if renewal.share < _ENOUGH:
                if not attempt:
                    # Only patience is left, and better coordinates.
                    self._travel(_MANY_MOVES, refit=True)
                return
            rows, _ = resample(renewal.log_weights, 1.0, self.rng, len(self.particles.z))
            self._resettle(renewal.points.take(rows))
            self._travel(_FEWEST_MOVES, refit=True)
            if abs(evidence - known) < max(_SAME_EVIDENCE, np.sqrt(2) * error):
                patience -= 1
                if not patience:
                    return
            else:
                # What has been found missing once is found little by little.
                patience = _PATIENCE
            known = evidence

    def look_further(self) -> Renewal:
        """Fresh points from the density that the particles describe."""
        count = _FRESH * len(self.particles.z)
        self.afford(count)
        renewal = draw_renewal(self.path, self._describe(), count, ISLANDS, self.rng)
        if self.renewal is None or renewal.share > self.renewal.share:
            self.renewal = renewal
        return renewal

    def attempt(self, moves: int) -> None:
        """Move at the posterior and keep what is seen, in place of what was kept before."""
        self.states = []
        self.extend(moves)

    def extend(self, moves: int) -> None:
        """Move on and keep that too."""
        before = self.particles
        stride = max(1, moves // _STATES)
        acceptance, steps = self._travel(moves, keep=stride)
        memory = float(np.abs(self._memory(before)).max())
        self.stages.append(Stage(1.0, moves, acceptance, steps, memory))

    def measure(self) -> Mixing:
        """How well the states kept agree, on unconstrained space."""
        return measure_mixing(self.stack([state.z for state in self.states]))

    def stack(self, columns: list[np.ndarray]) -> np.ndarray:
        """Arrays ``[particle, column]`` of each state as ``[time, island, particle, column]``."""
        stacked = np.stack(columns)
        return stacked.reshape(len(columns), ISLANDS, -1, stacked.shape[-1])

    def _forget(self, memory: float) -> None:
        """Move until the particles no longer know where the stage began."""
        before = self.particles
        chance = 3 / np.sqrt(len(before.z))
        mover = self._mover()
        for number in range(1, _MOST_MOVES + 1):
            acceptance = self._step(mover)
            left = float(np.abs(self._memory(before)).max())
            self.stages[-1] = Stage(self.temperature, number, acceptance, mover.num_steps, left)
            if number >= _FEWEST_MOVES and left < memory + chance:
                break
            # The particles soon know more than those which survived the resampling.
            mover = self._mover() if number in _REFITS else self._tuned(mover)

    def _travel(self, moves: int, *, keep: int = 0, refit: bool = False) -> tuple[float, int]:
        """Move with the coordinates learned now, and keep every ``keep``-th state."""
        mover = self._mover()
        acceptance = []
        for number in range(moves):
            acceptance.append(self._step(mover))
            if keep and number % keep == keep - 1:
                self.states.append(self.particles)
            if refit:
                mover = self._mover() if number + 1 in _REFITS else self._tuned(mover)
        return float(np.mean(acceptance)), mover.num_steps

    def _step(self, mover: Mover) -> float:
        """One move of all particles, near and, where that pays, far."""
        self.afford((mover.most_steps + 1) * len(self.particles.z))
        previous = self.particles
        particles, trip = mover.move(self.particles, self.rng)
        if self.leaps:
            particles, leap = mover.leap(particles, self.rng)
            self.leaps = leap.acceptance > _WORTHWHILE
        self.particles = particles
        self.recent = [*self.recent[1 - _RECENT :], particles]
        self.step = mover.tune(trip).step
        if self._memory(previous).max() > _SLOW:
            self.length = min(self.length * _LONGER, _LONGEST)
        return trip.acceptance

    def _tuned(self, mover: Mover) -> Mover:
        return replace(mover, step=self.step, length=self.length)

    def _mover(self) -> Mover:
        self.leaps = True
        mover = Mover(self.path, self.temperature, self._describe(), self.step, self.length)
        self.particles = mover.relabel(self.particles, self.rng)
        return mover

    def _describe(self) -> Mixture:
        """The density that the particles' own coordinates describe."""
        parts, recent = self.path.start.parts, self.recent or [self.particles]
        z = np.concatenate([particles.z for particles in recent])
        label = np.concatenate([particles.label for particles in recent])
        transports = [
            fit_transport(z[label == number], part.loc, part.scale_tril)
            for number, part in enumerate(parts)
        ]
        return Mixture(tuple(transports), np.bincount(label, minlength=len(parts)) / len(label))

    def _resettle(self, particles: Particles) -> None:
        """Put others in the particles' place, of which nothing is remembered."""
        self.particles, self.recent = particles, []

    def _memory(self, before: Particles) -> np.ndarray:
        """Rank correlation of coordinates with those before, within modes."""
        return forgetting(_centre(before), _centre(self.particles))

    def afford(self, gradients: int) -> None:
        """Raise SpentError where the budget does not allow so many gradients more."""
        if (
            self.counted.gradients + gradients >= self.settings.max_gradients
            or self.seconds > self.settings.max_seconds
        ):
            raise SpentError


def _centre(particles: Particles) -> np.ndarray:
    """Places relative to the middle of the mode, ``[particle, dim]``."""
    z = particles.z.copy()
    for number in np.unique(particles.label):
        mine = particles.label == number
        z[mine] -= z[mine].mean(0)
    return z
