"""What a climb came to."""

from dataclasses import dataclass, replace

from ppl_ext.correction.result import MIXED, Corrected
from ppl_ext.diagnostics.report import Report
from ppl_ext.diagnostics.steps import Chains, Step
from ppl_ext.diagnostics.verdict import Verdict

__all__ = ["RESAMPLING", "SAMPLING", "Climb"]

RESAMPLING = "importance resampling"
SAMPLING = "sequential Monte Carlo"


@dataclass(frozen=True, eq=False)
class Climb:
    """The steps from the first Gaussian to the draws of a fit.

    Args:
        steps: What was done, in order.
        corrected: What sequential Monte Carlo made, None where it was not needed or not reached.
        notes: What the reader should know, one sentence each.

    Example:
        >>> step = Step("full rank", Verdict.GOOD, elbo=-6.7, gradients=1024, seconds=0.1)
        >>> climb = Climb((step,))
        >>> climb.resamples, climb.samples, climb.leaves_guide
        (False, False, False)
    """

    steps: tuple[Step, ...]
    corrected: Corrected | None = None
    notes: tuple[str, ...] = ()

    @property
    def resamples(self) -> bool:
        """Whether the draws of the fit are the guide's, resampled by their importance weights."""
        return bool(self.steps) and self.steps[-1].name == RESAMPLING

    @property
    def samples(self) -> bool:
        """Whether the draws of the fit are those of sequential Monte Carlo."""
        return self.corrected is not None and self.corrected.arrived

    @property
    def leaves_guide(self) -> bool:
        """Whether the draws of the fit are other draws than the guide's."""
        return self.resamples or self.samples

    def conclude(self, report: Report) -> Report:
        """The verdict on the draws of the fit.

        Args:
            report: The verdict on the guide.

        Returns:
            The same, with the steps, about the draws that were reached.
        """
        report = replace(report, steps=self.steps, notes=self.notes)
        if self.resamples:
            advice = "use the draws as they are: they are resampled by their importance weights."
            return replace(report, verdict=Verdict.GOOD, advice=advice)
        if self.corrected is None:
            return report
        corrected, log = self.corrected, self.corrected.log
        verdict = Verdict.GOOD if corrected.ok else Verdict.DISTRUST
        report = replace(report, verdict=verdict, advice=corrected.advice)
        if not self.samples:
            note = (
                f"sequential Monte Carlo came {log.temperature:.0%} of the way to the posterior "
                f"({log.reason}); the draws are still the guide's."
            )
            return replace(report, notes=(*report.notes, note))
        chains = Chains(
            num_draws=corrected.draws.num_draws,
            num_chains=corrected.draws.chains,
            ess=corrected.ess,
            rhat=corrected.rhat,
            log_evidence=corrected.evidence,
            log_evidence_error=corrected.evidence_error,
            num_modes=log.num_modes,
        )
        notes = [*report.notes, *log.notes]
        if log.reason != MIXED:
            notes.append(f"sequential Monte Carlo ended because {log.reason}.")
        return replace(report, chains=chains, notes=tuple(notes))
