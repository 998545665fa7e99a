"""The demonstration in words: every method beside the known posterior."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ppl_ext.commands.demo.problem import Entry, Problem
from ppl_ext.commands.demo.reference import Reference

__all__ = ["format_table"]

_FACTS = (
    "worst error of a mean",
    "  resampled",
    "worst error of an sd",
    "  resampled",
    "ELBO",
    "k-hat",
    "draws can be trusted",
    "  resampled",
    "gradients",
    "seconds",
    "  compiling",
    "  judging",
)


def format_table(problem: Problem, entries: Sequence[Entry]) -> str:
    """Lay out means, standard deviations, errors, cost and verdicts side by side.

    Args:
        problem: What was fitted.
        entries: One for each method, in the order of the columns.

    Returns:
        Lines of text; under the table the advice that each report gives.
    """
    reference = problem.reference
    means, sds = problem.split(reference.mean), problem.split(reference.sd)
    columns = [
        ["", *means, *_FACTS],
        ["reference", *_format_moments(means, sds, sds), *[""] * len(_FACTS)],
    ]
    for entry in entries:
        draws = problem.split(entry.values)
        drawn_means = {label: np.mean(draw) for label, draw in draws.items()}
        drawn_sds = {label: np.std(draw) for label, draw in draws.items()}
        moments = _format_moments(drawn_means, drawn_sds, sds)
        columns.append([entry.method, *moments, *_facts(reference, entry)])
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in zip(*columns, strict=True)
    ]
    rule = "-" * (sum(widths) + 2 * len(widths) - 2)
    lines[1:1] = [rule]
    lines[-len(_FACTS) : -len(_FACTS)] = [rule]
    advice = [
        f"{entry.method}: {entry.judgement.report.advice}" for entry in entries if entry.judgement
    ]
    return "\n".join([*lines, "", *advice])


def _format_moments(
    means: Mapping[str, Any], sds: Mapping[str, Any], known: Mapping[str, Any]
) -> list[str]:
    """Write mean and standard deviation with two digits of the known standard deviation."""
    cells = []
    for label, sd in known.items():
        decimals = max(0, 1 - math.floor(math.log10(sd)))
        cells.append(f"{means[label]:.{decimals}f} ± {sds[label]:.{decimals}f}")
    return cells


def _facts(reference: Reference, entry: Entry) -> list[str]:
    def error_of_mean(values: Mapping[str, np.ndarray]) -> str:
        return f"{reference.worst_mean_error(values):.2f} sd"

    def error_of_sd(values: Mapping[str, np.ndarray]) -> str:
        return f"factor {math.exp(reference.worst_log_sd_ratio(values)):.2f}"

    elbo = khat = trusted = resampled_trusted = judging = resampled_mean = resampled_sd = ""
    if entry.judgement:
        report = entry.judgement.report
        elbo, khat = f"{report.elbo:,.2f}", f"{report.khat:.2f}"
        trusted, resampled_trusted = (
            "yes" if good else "no" for good in (report.ok, report.resampled_ok)
        )
        judging = f"{entry.judgement.seconds:.2f}"
        resampled = entry.judgement.draws.resample(seed=0).values
        resampled_mean, resampled_sd = error_of_mean(resampled), error_of_sd(resampled)
    return [
        error_of_mean(entry.values),
        resampled_mean,
        error_of_sd(entry.values),
        resampled_sd,
        elbo,
        khat,
        trusted,
        resampled_trusted,
        f"{entry.gradients:,}",
        f"{entry.seconds:.2f}",
        f"{entry.compile_seconds:.2f}",
        judging,
    ]
