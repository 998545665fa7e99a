"""The steps that a fit took, and what is known of draws that are no longer a guide's."""

from collections.abc import Sequence
from dataclasses import dataclass

from ppl_ext.diagnostics.verdict import Verdict

__all__ = ["STEP_HEADS", "Chains", "Step", "list_steps", "tabulate_steps"]

STEP_HEADS = ("step", "verdict", "gradients", "seconds")


@dataclass(frozen=True)
class Step:
    """One step of a climb and what was thought of its draws.

    Args:
        name: What was done.
        verdict: The verdict on its draws; None where it was interrupted before there was one.
        elbo: Evidence lower bound of its Gaussian in nats; None where its draws are no Gaussian's.
        gradients: Gradients of the log density that it took, those of judging it apart.
        seconds: Wall-clock time, that of judging it included and compilation apart.

    Example:
        >>> step = Step("full rank", Verdict.GOOD, elbo=-6.7, gradients=1024, seconds=0.1)
        >>> step.verdict.ok
        True
    """

    name: str
    verdict: Verdict | None
    elbo: float | None
    gradients: int
    seconds: float


@dataclass(frozen=True)
class Chains:
    """What is known of draws that sequential Monte Carlo has made.

    Args:
        num_draws: Number of draws.
        num_chains: Chains that never met.
        ess: Smallest effective number of draws over elements of all sites.
        rhat: Largest rank-normalised R-hat over them.
        log_evidence: Log evidence in nats.
        log_evidence_error: Its standard error.
        num_modes: Modes at which the chains began: 1 and one for each that the Gaussian missed.

    Example:
        >>> print(Chains(4096, 8, ess=3900.0, rhat=1.003, log_evidence=-31.3,
        ...     log_evidence_error=0.01, num_modes=1))
        4,096 in 8 chains, ESS 3,900, R-hat 1.003
    """

    num_draws: int
    num_chains: int
    ess: float
    rhat: float
    log_evidence: float
    log_evidence_error: float
    num_modes: int

    def __str__(self) -> str:
        return (
            f"{self.num_draws:,} in {self.num_chains} chains, ESS {self.ess:,.0f}, "
            f"R-hat {self.rhat:.3f}"
        )


def list_steps(steps: Sequence[Step]) -> list[tuple[str, str, str, str]]:
    """The steps as rows of words and figures, below `STEP_HEADS`.

    Args:
        steps: The steps.

    Returns:
        One row each.

    Example:
        >>> list_steps([Step("full rank", Verdict.GOOD, -6.7, 1024, 0.1)])
        [('full rank', 'good', '1,024', '0.10')]
    """
    return [
        (
            step.name,
            str(step.verdict or "interrupted"),
            f"{step.gradients:,}",
            f"{step.seconds:.2f}",
        )
        for step in steps
    ]


def tabulate_steps(steps: Sequence[Step]) -> str:
    """The steps as a table of one line each, below a line of heads.

    Args:
        steps: The steps.

    Returns:
        The lines.

    Example:
        >>> print(tabulate_steps([Step("full rank", Verdict.GOOD, -6.7, 1024, 0.1)]))
        step       verdict  gradients  seconds
        full rank  good         1,024     0.10
    """
    rows = [STEP_HEADS, *list_steps(steps)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
