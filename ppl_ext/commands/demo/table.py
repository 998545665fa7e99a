"""The demonstration in words: every method beside the known posterior."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ppl_ext.commands.demo.problem import Entry, Problem
from ppl_ext.commands.demo.reference import Reference
from ppl_ext.diagnostics.verdict import MEAN_TOLERANCE, SD_TOLERANCE

__all__ = ["format_summary", "format_table"]

_FACTS = (
    "worst error of a mean",
    "worst error of an sd",
    "ELBO",
    "k-hat",
    "draws can be trusted",
    "gradients",
    "seconds",
)
_CHANCE = 0.05  # what 4,000 draws add to the promise of a verdict


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
    lines = _align(list(zip(*columns, strict=True)), left=1)
    lines[-len(_FACTS) : -len(_FACTS)] = lines[1:2]
    advice = [f"{entry.method}: {entry.report.advice}" for entry in entries if entry.report]
    return "\n".join([*lines, "", *advice])


def _align(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Columns of text, the first ones flush left, with a rule under the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [*map(str.ljust, row[:left], widths), *map(str.rjust, row[left:], widths[left:])]
        ).rstrip()
        for row in rows
    ]
    return [lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]]


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
    elbo = khat = ""
    if entry.report:
        elbo, khat = f"{entry.report.elbo:,.2f}", f"{entry.report.khat:.2f}"
    return [
        *_write_errors(*_measure(reference, entry)),
        elbo,
        khat,
        _trust(entry),
        f"{entry.gradients:,}",
        f"{entry.seconds:.1f}",
    ]


def _measure(reference: Reference, entry: Entry) -> tuple[float, float]:
    """The worst error of a mean, in standard deviations, and the worst log ratio of those."""
    return reference.worst_mean_error(entry.values), reference.worst_log_sd_ratio(entry.values)


def _write_errors(mean: float, log_sd: float) -> tuple[str, str]:
    return f"{mean:.2f} sd", f"factor {math.exp(log_sd):.2f}"


def _trust(entry: Entry) -> str:
    """Whether the verdict lets the draws be used as they are; NUTS has no verdict."""
    if entry.report is None:
        return ""
    return "yes" if entry.report.ok else "no"


def format_summary(runs: Sequence[tuple[Problem, Sequence[Entry]]]) -> str:
    """Lay out what was promised and what was true, a line for each problem and method.

    Args:
        runs: The problems, and what each method made of them.

    Returns:
        Lines of text.
    """
    rows = [["", "", "mean", "sd", "right", "trusted", "seconds"]]
    for problem, entries in runs:
        for entry in entries:
            mean, log_sd = _measure(problem.reference, entry)
            right = mean < MEAN_TOLERANCE + _CHANCE and log_sd < SD_TOLERANCE + _CHANCE
            rows.append(
                [
                    problem.name.replace("_", " ") if entry is entries[0] else "",
                    entry.method,
                    *_write_errors(mean, log_sd),
                    "yes" if right else "no",
                    _trust(entry),
                    f"{entry.seconds:.1f}",
                ]
            )
    return "\n".join(_align(rows, left=2))
