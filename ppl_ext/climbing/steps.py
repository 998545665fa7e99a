"""The climb: each step starts from the last, and the first whose draws are good is the end."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from ppl_ext.climbing.result import RESAMPLING, SAMPLING, Climb
from ppl_ext.correction.settings import Correction
from ppl_ext.density import Density
from ppl_ext.diagnostics.report import Details, Report
from ppl_ext.diagnostics.steps import Step
from ppl_ext.diagnostics.verdict import Verdict
from ppl_ext.fitting.fit_log import INTERRUPTED, FitLog
from ppl_ext.gaussian_vi.solution import GaussianSolution

__all__ = ["climb_from", "raise_interrupt", "stay_below"]

_MOST_SAMPLED = 1000  # dimensions
# Monte Carlo error of weighted moments, half of what a report on a guide lets pass: where a tail
# carries them it is itself too small, and here there is a step that does better.
_FIRM = 0.05
# Shifts of means (in sds) and log sds that weights may show without a reason to use them: three
# standard errors of a log sd of a report's draws.
_UNMOVED = 0.03


class _GaussianFit(Protocol):
    """What a climb has to know of a room's fit."""

    @property
    def log(self) -> FitLog: ...

    @property
    def density(self) -> Density | None: ...

    @property
    def solution(self) -> GaussianSolution | None: ...

    def report(self) -> Report: ...


_Fit = TypeVar("_Fit", bound=_GaussianFit)


def climb_from(
    fit: _Fit,
    settings: Correction,
    *,
    refits: Sequence[tuple[str, Callable[[_Fit], _Fit | None]]] = (),
    seed: int = 0,
    progress_bar: bool = True,
) -> tuple[_Fit, Climb, Report | None]:
    """Climb from a fitted Gaussian until the draws can be trusted.

    Resampling comes as soon as the report allows it, for it costs nothing more. Ctrl-C ends the
    climb with what it has reached.

    Args:
        fit: A fit of the deterministic solver.
        settings: What sequential Monte Carlo, the last step, is asked for and may cost.
        refits: Names and functions of the steps that fit a Gaussian anew in other coordinates,
            in order; such a function returns None where it can do nothing.
        seed: Seed of sequential Monte Carlo.
        progress_bar: Whether it draws a bar.

    Returns:
        The best of the fits, the climb, and the verdict on the draws; None where Ctrl-C came
        before there was one.

    Example:
        >>> from types import SimpleNamespace
        >>> import numpy as np
        >>> from ppl_ext.density import Site
        >>> from ppl_ext.diagnostics import judge
        >>> from ppl_ext.draws import Draws
        >>> from ppl_ext.gaussian_vi import solve_full_rank
        >>> normal = Density(
        ...     dim=1,
        ...     sites=(Site("x", (1,), 0, 1),),
        ...     log_density=lambda z: (-0.5 * (z**2).sum(-1), -z),
        ...     log_p=lambda z: -0.5 * (z**2).sum(-1),
        ...     constrain=lambda z: {"x": z},
        ...     explain=lambda z: "",
        ... )
        >>> solution = solve_full_rank(normal)
        >>> def report():
        ...     z = np.random.default_rng(0).normal(size=(2, 5000))
        ...     return judge([Draws({"x": x}, -(x**2) / 2, -(x**2) / 2) for x in z], solution.log)
        >>> fit = SimpleNamespace(
        ...     log=solution.log, density=normal, solution=solution, report=report
        ... )
        >>> _, climb, report = climb_from(fit, Correction(), progress_bar=False)
        >>> [step.name for step in climb.steps], report.ok
        (['full rank'], True)
    """
    steps: list[Step] = []
    best, report = fit, None
    try:
        report = _judge(fit, _family(fit), steps)
        for name, refit in refits:
            if _is_settled(report):
                break
            again = refit(best)
            if again is not None:
                judged = _judge(again, f"{name} {_family(again)}", steps)
                if _is_settled(judged) or judged.elbo > report.elbo:
                    best, report = again, judged
        if _is_settled(report) and _is_worth_resampling(report):
            steps.append(Step(RESAMPLING, Verdict.GOOD, report.elbo, 0, 0.0))
        if _is_settled(report):
            climb = Climb(tuple(steps))
        else:
            climb = _sample(best, report, settings, steps, seed, progress_bar)
    except KeyboardInterrupt:
        note = "the climb was interrupted: the draws are those of the best Gaussian that it found."
        climb = Climb(tuple(steps), notes=(note,))
    return best, climb, None if report is None else climb.conclude(report)


def stay_below(plates: Sequence[str], parameters: Sequence[str]) -> Climb | None:
    """The climb of a fit by stochastic gradients, which has no density to climb on.

    Args:
        plates: Names of the plates that draw minibatches.
        parameters: Names of the model's own parameters.

    Returns:
        A climb without a step that says why; None where nothing in the model is the reason.

    Example:
        >>> stay_below(["row"], []).notes[0].partition(":")[0]
        'the fit did not climb'
    """
    if plates:
        names = ", ".join(f"'{name}'" for name in plates)
        why = f"minibatches are drawn of {names}, and the steps beyond the guide need all rows."
    elif parameters:
        names = ", ".join(f"'{name}'" for name in parameters)
        why = f"the model learns {names}, and the steps beyond the guide need one density."
    else:
        return None
    return Climb((), notes=(f"the fit did not climb: {why}",))


def raise_interrupt(log: FitLog, climb: Climb | None) -> None:
    """Raise what a fit has kept to itself, for who runs many of them.

    Args:
        log: The log of the fit.
        climb: Its climb, None where it has none.

    Raises:
        KeyboardInterrupt: The fit or a step of its climb was interrupted.

    Example:
        >>> raise_interrupt(FitLog([1.0], "converged", True, seconds=0.1), None)
    """
    if log.interrupted or (climb and any(step.verdict is None for step in climb.steps)):
        raise KeyboardInterrupt


def _family(fit: _GaussianFit) -> str:
    assert fit.solution is not None
    return "mean field" if fit.solution.scale.ndim == 1 else "full rank"


def _judge(fit: _GaussianFit, name: str, steps: list[Step]) -> Report:
    """The report on a fit, whose step is noted; interrupted where the fit was."""
    assert fit.solution is not None
    log, elbo, began = fit.log, fit.solution.elbo, time.perf_counter()
    # The step stands there before its verdict, which Ctrl-C may prevent.
    steps.append(Step(name, None, elbo, log.gradients, log.seconds))
    if log.interrupted:
        raise KeyboardInterrupt
    report = fit.report()
    seconds = log.seconds + time.perf_counter() - began
    steps[-1] = Step(name, report.verdict, report.elbo, log.gradients, seconds)
    return report


def _is_settled(report: Report) -> bool:
    """Whether the draws are good as they are, or weights that are firm make them so."""
    return report.ok or (report.resampled_ok and report.details.correction_error < _FIRM)


def _is_worth_resampling(report: Report) -> bool:
    """Whether the weights move the draws by more than chance alone would."""
    details = report.details
    return not report.ok or max(details.mean_shift, details.sd_shift) > _UNMOVED


def _sample(
    fit: _GaussianFit,
    report: Report,
    settings: Correction,
    steps: list[Step],
    seed: int,
    progress_bar: bool,
) -> Climb:
    """The last step, from the best Gaussian, where the model allows it."""
    assert fit.density is not None
    assert fit.solution is not None
    bar = _find_bar(fit.density, report.details)
    if bar:
        return Climb(
            tuple(steps), notes=(f"the climb ended before sequential Monte Carlo: {bar}",)
        )
    from ppl_ext.correction.solve import correct

    steps.append(Step(SAMPLING, None, None, 0, 0.0))
    corrected = correct(
        fit.density,
        fit.solution,
        settings,
        modes=report.details.missed_modes or (),
        seed=seed,
        progress_bar=progress_bar,
    )
    verdict = Verdict.GOOD if corrected.ok else Verdict.DISTRUST
    steps[-1] = Step(
        SAMPLING,
        None if corrected.log.reason == INTERRUPTED else verdict,
        None,
        corrected.log.gradients,
        corrected.log.seconds,
    )
    return Climb(tuple(steps), corrected)


def _find_bar(density: Density, details: Details) -> str:
    """Why sequential Monte Carlo is not for a density; empty where it is."""
    if details.jumps is not None and details.jumps.precision:
        return f"{details.jumps.precision} is too coarse for the density."
    if not density.batched:
        names = ", ".join(f"'{site.name}'" for site in density.sites[:3])
        return (
            f"the model of {names} cannot be vectorised and runs draw by draw. Write it without "
            "Python branches on sampled values."
        )
    if density.dim > _MOST_SAMPLED:
        largest = max(density.sites, key=lambda site: site.size)
        return (
            f"it is for {_MOST_SAMPLED:,} dimensions at most and the model has {density.dim:,}, "
            f"{largest.size:,} of them in '{largest.name}'."
        )
    return ""
