"""What a correction answers: draws of the posterior, the evidence, and whether to trust them."""

import textwrap
from dataclasses import dataclass

import numpy as np

from ppl_ext.draws.draws import Draws

__all__ = ["DEAD", "MIXED", "SPENT", "Corrected", "CorrectionLog", "Stage"]

# Why a correction ended, beside the user's interruption.
MIXED = "islands, halves and fresh points tell the same"
SPENT = "the budget is spent"
DEAD = "the particles died out"

_WIDTH = 88


@dataclass(frozen=True)
class Stage:
    """What happened at one temperature.

    Args:
        temperature: Share of the posterior in the path, 1 at its end.
        moves: Moves of every particle.
        acceptance: Mean acceptance of the last.
        steps: Leapfrog steps of a trajectory.
        memory: Largest rank correlation of a coordinate with where the stage began.

    Example:
        >>> print(Stage(1.0, moves=3, acceptance=0.81, steps=4, memory=0.02))
        1.000: 3 moves of 4 steps, 81 % accepted, memory 0.02
    """

    temperature: float
    moves: int
    acceptance: float
    steps: int
    memory: float

    def __str__(self) -> str:
        return (
            f"{self.temperature:.3f}: {self.moves} moves of {self.steps} steps, "
            f"{self.acceptance:.0%} accepted, memory {self.memory:.2f}".replace("%", " %")
        )


@dataclass(frozen=True)
class CorrectionLog:
    """How a correction went.

    Args:
        stages: One for each temperature, and one for each time the last was made longer.
        num_islands: Populations that never met.
        num_particles: Particles of all islands.
        num_modes: Parts of the start: 1 and one for each mode that the Gaussian missed.
        path_evidence: Log evidence along the path and its standard error, from the islands.
        gradients: Gradients of the log density.
        seconds: Wall-clock time.
        reason: Why it ended.
        notes: What the reader should know, one sentence each.

    Example:
        >>> log = CorrectionLog((), 8, 1024, 1, (0.0, 0.1), 20_000, 0.5, "mixed")
        >>> print(log)
        1,024 particles on 8 islands; 20,000 gradients in 0.50 s; mixed
    """

    stages: tuple[Stage, ...]
    num_islands: int
    num_particles: int
    num_modes: int
    path_evidence: tuple[float, float]
    gradients: int
    seconds: float
    reason: str
    notes: tuple[str, ...] = ()

    @property
    def temperature(self) -> float:
        """How far the particles came: 0 at the Gaussian, 1 at the posterior."""
        return self.stages[-1].temperature if self.stages else 0.0

    def __str__(self) -> str:
        first = (
            f"{self.num_particles:,} particles on {self.num_islands} islands; "
            f"{self.gradients:,} gradients in {self.seconds:.2f} s; {self.reason}"
        )
        return "\n".join([first, *map(str, self.stages), *self.notes])


@dataclass(frozen=True)
class Corrected:
    """Draws of the posterior and what is known of their quality.

    Args:
        draws: One chain for each island, the draws of a particle side by side, so that ArviZ's
            own R-hat and effective sample size read them.
        z: The same draws on unconstrained space, ``[draw, dim]``.
        evidence: Log evidence in nats.
        evidence_error: Its standard error.
        rhat: Largest rank-normalised R-hat over elements of all sites.
        ess: Smallest effective number of draws over them.
        log: How it went.
        ok: Whether the draws are those of the posterior, as far as the checks can see.
        advice: What to do, in a sentence.

    Example:
        >>> draws = Draws({"x": np.zeros(4)}, log_p=np.zeros(4), log_q=np.zeros(4), chains=2)
        >>> log = CorrectionLog((), 2, 4, 1, (0.0, 0.1), 4, 0.1, "the budget is spent")
        >>> result = Corrected(
        ...     draws, np.zeros((4, 1)), 0.0, 0.1, 1.2, 4.0, log, ok=False, advice="give it more."
        ... )
        >>> print(result)
        verdict       not to be trusted
        draws         4 in 2 chains, ESS 4, R-hat 1.200
        log evidence  0.000 +- 0.100
        path          at the start
        run           4 gradients in 0.10 s; the budget is spent
        advice        give it more.
    """

    draws: Draws
    z: np.ndarray
    evidence: float
    evidence_error: float
    rhat: float
    ess: float
    log: CorrectionLog
    ok: bool
    advice: str

    @property
    def arrived(self) -> bool:
        """Whether the draws are of the posterior at all, and not of a density on the way to it."""
        return self.log.temperature == 1

    @property
    def verdict(self) -> str:
        """One of ``good`` and ``not to be trusted``."""
        return "good" if self.ok else "not to be trusted"

    @property
    def summary(self) -> str:
        """Verdict and evidence, in a line."""
        return f"draws of the posterior: {self.verdict}, log evidence {self._evidence}"

    @property
    def _evidence(self) -> str:
        return f"{self.evidence:,.3f} +- {self.evidence_error:.3f}"

    def __str__(self) -> str:
        log = self.log
        visited = dict.fromkeys(f"{stage.temperature:.3f}" for stage in log.stages)
        lines = [
            ("verdict", self.verdict),
            (
                "draws",
                f"{self.draws.num_draws:,} in {self.draws.chains} chains, ESS {self.ess:,.0f}, "
                f"R-hat {self.rhat:.3f}",
            ),
            ("log evidence", self._evidence),
            ("path", f"temperatures {', '.join(visited)}" if visited else "at the start"),
        ]
        if log.stages:
            lines.append(("last moves", str(log.stages[-1]).partition(": ")[2]))
        lines.append(("run", f"{log.gradients:,} gradients in {log.seconds:.2f} s; {log.reason}"))
        lines += [("note", note) for note in log.notes]
        lines.append(("advice", self.advice))
        return "\n".join(
            textwrap.fill(text, _WIDTH, initial_indent=f"{name:<14}", subsequent_indent=14 * " ")
            for name, text in lines
        )
