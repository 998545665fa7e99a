"""The verdict on a fit, as it is read."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ppl_ext.diagnostics.modes import MissedMode
from ppl_ext.fitting.fit_log import FitLog

__all__ = ["Details", "Report", "Verdict"]

_WIDTH = 88  # columns of a printed report
_UNSEEN = "not looked at"
_MOST_MODES = 3  # that a report names


class Verdict(StrEnum):
    """What may be done with the draws of a guide.

    Example:
        >>> print(Verdict.RESAMPLE)
        good after importance resampling
        >>> Verdict.RESAMPLE.ok, Verdict.RESAMPLE.resampled_ok
        (False, True)
    """

    GOOD = "good"
    RESAMPLE = "good after importance resampling"
    DISTRUST = "not to be trusted"

    @property
    def ok(self) -> bool:
        """Whether the guide's draws are good as they are."""
        return self is Verdict.GOOD

    @property
    def resampled_ok(self) -> bool:
        """Whether the importance-resampled draws are good."""
        return self is not Verdict.DISTRUST


@dataclass(frozen=True)
class Details:
    """The numbers behind a verdict.

    Args:
        num_draws: Number of draws judged.
        khat_of_batches: Least and greatest k-hat of the parts of the draws, each on its own. A
            tail that is fitted to fewer draws need not have the shape of the whole.
        elbo_error: Standard error of the ELBO; infinite where a draw has no density.
        log_evidence: Importance-sampled log evidence in nats.
        mean_shift: Largest shift of a mean from raw to importance-weighted draws, in sds.
        sd_shift: Largest absolute log ratio of standard deviations, raw to weighted.
        shifted_site: The element with the larger shift.
        correction_error: Largest Monte Carlo error of the weighted means and log sds.
        tail_shift: Largest shift of a mean (in sds) or log sd when draws from wide tails are
            added; None where the tails were not looked at.
        heavy_site: The element with that shift.
        missed_modes: Modes that the guide does not cover; None where none was looked for.
        mode_searches: Number of paths on which modes were looked for. A mode that draws fewer
            than three in as many is missed with a probability of 5 % or more.
        log: The log of the fit.

    Example:
        >>> from ppl_ext.diagnostics import judge
        >>> from ppl_ext.draws import Draws
        >>> rng = np.random.default_rng(0)
        >>> def draw():
        ...     x = rng.standard_normal(5000)
        ...     return Draws({"x": x}, log_p=-(x**2) / 2, log_q=-(x**2) / 2)
        >>> log = FitLog(np.array([1.0]), "converged", True, seconds=0.1)
        >>> judge([draw(), draw()], log).details.num_draws
        10000
    """

    num_draws: int
    khat_of_batches: tuple[float, float]
    elbo_error: float
    log_evidence: float
    mean_shift: float
    sd_shift: float
    shifted_site: str
    correction_error: float
    tail_shift: float | None
    heavy_site: str
    missed_modes: tuple[MissedMode, ...] | None
    mode_searches: int
    log: FitLog


@dataclass(frozen=True, repr=False)
class Report:
    """Whether a fit can be trusted, and what to do if it cannot.

    Args:
        verdict: Whether the guide's draws are good as they are (every mean within 0.1 posterior
            standard deviations and every standard deviation within 15 %, as far as the checks
            can see), good once resampled, or neither.
        khat: Pareto k-hat of the importance weights of all draws; ``-inf`` where the largest of
            them are equal, ``inf`` where no tail fits.
        ess: Effective number of the importance weights.
        elbo: Evidence lower bound in nats.
        advice: What to do, in a sentence.
        details: The numbers behind it.

    Example:
        >>> from ppl_ext.diagnostics import judge
        >>> from ppl_ext.draws import Draws
        >>> rng = np.random.default_rng(0)
        >>> def draw():
        ...     x = rng.standard_normal(5000)  # a guide four times too narrow
        ...     return Draws({"x": x}, log_p=-(x**2) / 32, log_q=-(x**2) / 2)
        >>> report = judge([draw(), draw()], FitLog(np.array([1.0]), "ended", True, seconds=0.1))
        >>> report.ok, str(report.verdict)
        (False, 'not to be trusted')
    """

    verdict: Verdict
    khat: float
    ess: float
    elbo: float
    advice: str
    details: Details

    @property
    def ok(self) -> bool:
        """Whether the guide's draws are good as they are."""
        return self.verdict.ok

    @property
    def resampled_ok(self) -> bool:
        """Whether the importance-resampled draws are good."""
        return self.verdict.resampled_ok

    def __repr__(self) -> str:
        return (
            f"Report({self.verdict}, k-hat {self.khat:.2f}, ESS {self.ess:,.0f} of "
            f"{self.details.num_draws:,}, ELBO {self.elbo:,.2f})"
        )

    def __str__(self) -> str:
        return "\n".join(
            textwrap.fill(text, _WIDTH, initial_indent=f"{name:<14}", subsequent_indent=14 * " ")
            for name, text in self._lines()
        )

    def _lines(self) -> Iterator[tuple[str, str]]:
        details, log = self.details, self.details.log
        yield "verdict", self.verdict
        yield "k-hat", _describe_khat(self.khat, details.khat_of_batches)
        yield "ESS", f"{self.ess:,.0f} of {details.num_draws:,} draws"
        yield "ELBO", f"{self.elbo:,.3f} +- {details.elbo_error:.3f}"
        yield "log evidence", f"{details.log_evidence:,.3f} by importance sampling"
        yield (
            "weights move",
            f"means by {details.mean_shift:.2f} sd, sds by a factor "
            f"{np.exp(details.sd_shift):.2f} ('{details.shifted_site}')",
        )
        tails = _UNSEEN
        if details.tail_shift is not None:
            tails = f"wide draws move '{details.heavy_site}' by {details.tail_shift:.2f}"
        yield "tails", tails
        yield "modes", _describe_modes(details.missed_modes, details.mode_searches)
        if len(log.start_losses) > 1:
            elbos = ", ".join(f"{-loss:,.2f}" for loss in log.start_losses)
            yield "starts", f"reached ELBOs of {elbos}{log.dropped}"
        compiled = f", {log.compile_seconds:.1f} s compiling" * bool(log.compile_seconds)
        yield "run", f"{log.gradients:,} gradients in {log.seconds:.2f} s{compiled}"
        yield "ended", log.reason
        yield from (("note", note) for note in log.notes)
        yield "advice", self.advice


def _describe_khat(khat: float, of_batches: tuple[float, float]) -> str:
    """K-hat in words where it is no number, or says that there is nothing to fear."""
    if khat == -np.inf:
        return "none, for the largest weights are equal: no tail"
    if khat == np.inf:
        return "infinite: a few weights outweigh all others, and no tail fits them"
    bounded = ": the weights are bounded" if khat < 0 else ""
    low, high = of_batches
    return f"{khat:.2f}{bounded} (quarters of the draws: {low:.2f} to {high:.2f})"


def _describe_modes(missed: tuple[MissedMode, ...] | None, searches: int) -> str:
    if missed is None or not searches:
        return _UNSEEN
    if not missed:
        return (
            f"none missed on {searches} paths; one that draws fewer than {3 / searches:.0%} of "
            "them may be"
        )
    apart = [mode for mode in missed if mode.apart]
    places = "; ".join(
        f"one {mode.distance:.0f} sd away, most of all in '{mode.site}', holds about "
        f"{100 * mode.share:.2g}% of the mass"
        for mode in (apart or missed)[:_MOST_MODES]
    )
    if apart:
        return f"{len(apart)} missed: {places}"
    return f"one, with {len(missed)} peak{'s' * (len(missed) > 1)} off the guide: {places}"
