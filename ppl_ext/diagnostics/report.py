"""The verdict on a fit, as it is read."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ppl_ext.diagnostics.jumps import Jumps
from ppl_ext.diagnostics.modes import MissedMode
from ppl_ext.diagnostics.steps import STEP_HEADS, Chains, Step, list_steps, tabulate_steps
from ppl_ext.diagnostics.verdict import Verdict
from ppl_ext.fitting.fit_log import FitLog
from ppl_ext.markup import render_fragment, render_heading, render_sentence, render_table

__all__ = ["Details", "Report"]

_WIDTH = 88  # columns of a printed report
_UNSEEN = "not looked at"
_MOST_MODES = 3  # that a report names


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
        jumps: Where the gradient is not that of the density, None where it is or was not looked.

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
    jumps: Jumps | None = None


@dataclass(frozen=True, repr=False)
class Report:
    """Whether a fit can be trusted, and what to do if it cannot.

    Args:
        verdict: Whether the draws that the fit gives are good as they are (every mean within 0.1
            posterior standard deviations and every standard deviation within 15 %, as far as the
            checks can see), good once resampled, or neither.
        khat: Pareto k-hat of the importance weights of the guide's draws; ``-inf`` where the
            largest of them are equal, ``inf`` where no tail fits.
        ess: Effective number of these weights.
        elbo: Evidence lower bound of the guide in nats.
        advice: What to do, in a sentence.
        details: The numbers behind it.
        steps: The steps that a climbing fit took; empty where there was no climb.
        chains: What is known of the draws where sequential Monte Carlo has made them, else None.
        notes: What the reader should know of the climb, one sentence each.

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
    steps: tuple[Step, ...] = ()
    chains: Chains | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the draws that the fit gives are good as they are."""
        return self.verdict.ok

    @property
    def resampled_ok(self) -> bool:
        """Whether the importance-resampled draws are good."""
        return self.verdict.resampled_ok

    @property
    def log_evidence(self) -> float:
        """Log evidence in nats, of the chains where there are some, else by the weights."""
        if self.chains is not None:
            return self.chains.log_evidence
        return self.details.log_evidence

    def __repr__(self) -> str:
        quality = f"k-hat {self.khat:.2f}, ESS {self.ess:,.0f} of {self.details.num_draws:,}"
        if self.chains is not None:
            quality = f"R-hat {self.chains.rhat:.3f}, ESS {self.chains.ess:,.0f}"
        return f"Report({self.verdict}, {quality}, ELBO {self.elbo:,.2f})"

    def __str__(self) -> str:
        lines = self._list_lines()
        if len(self.steps) > 1:
            lines.insert(1, ("steps", tabulate_steps(self.steps)))
        return "\n".join(_format_line(name, text) for name, text in lines)

    def _repr_html_(self) -> str:
        return render_fragment(self.render_parts())

    def render_parts(self) -> tuple[str, ...]:
        """The report in pieces of HTML: verdict, advice, the numbers behind it, the steps."""
        (_, verdict), *lines, (_, advice) = self._list_lines()
        steps = list_steps(self.steps) if len(self.steps) > 1 else []
        return (
            render_heading(f"Verdict: {verdict}"),
            render_sentence(f"What to do: {advice}"),
            render_table(lines),
            render_table(steps, STEP_HEADS),
        )

    def _list_lines(self) -> list[tuple[str, str]]:
        """What the report says, the verdict first and the advice last, without the steps."""
        lines = [("verdict", str(self.verdict))]
        lines += self._describe_guide() if self.chains is None else _describe_chains(self)
        jumps = [] if self.details.jumps is None else [f"{self.details.jumps}."]
        notes = (*self.details.log.notes, *jumps, *self.notes)
        return [*lines, *(("note", note) for note in notes), ("advice", self.advice)]

    def _describe_guide(self) -> Iterator[tuple[str, str]]:
        details, log = self.details, self.details.log
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


def _describe_chains(report: Report) -> Iterator[tuple[str, str]]:
    """The lines of draws that sequential Monte Carlo has made, and of the guide they came from."""
    assert report.chains is not None
    chains, details = report.chains, report.details
    yield "draws", str(chains)
    yield (
        "log evidence",
        f"{chains.log_evidence:,.3f} +- {chains.log_evidence_error:.3f} by sequential Monte Carlo",
    )
    modes = "one among those found"
    if chains.num_modes > 1:
        modes = f"{chains.num_modes} found, among which the draws are shared out"
    yield "modes", modes
    yield "ELBO", f"{report.elbo:,.3f} +- {details.elbo_error:.3f} of the guide"
    yield "k-hat", f"{_describe_khat(report.khat, details.khat_of_batches)} of the guide"


def _format_line(name: str, text: str) -> str:
    indent = 14 * " "
    if "\n" in text:  # a table keeps its lines
        return textwrap.indent(text, indent).replace(indent, f"{name:<14}", 1)
    return textwrap.fill(text, _WIDTH, initial_indent=f"{name:<14}", subsequent_indent=indent)


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
