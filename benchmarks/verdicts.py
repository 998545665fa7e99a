"""Verdicts against the truth: how often "good" was wrong, and how often it was withheld."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["OUTCOMES", "classify", "find_recommended", "summarize"]

# Worst mean error (in sds) and worst log sd ratio that a verdict promises for the draws it calls
# good; the raw draws of a Gaussian guide are allowed 15 % in a standard deviation.
GOOD = {"raw": (0.1, 0.15), "resampled": (0.1, 0.1)}
RECOMMENDED = {"good": "raw", "good after importance resampling": "resampled"}
OUTCOMES = ("good, rightly", "good, WRONGLY", "bad, needlessly", "bad, rightly", "failed")


def is_accurate(run: Mapping[str, Any], draws: str) -> bool:
    mean_limit, sd_limit = GOOD[draws]
    errors = run[draws]
    return errors["mean_error"] < mean_limit and errors["sd_error"] < sd_limit


def find_recommended(run: Mapping[str, Any]) -> Mapping[str, float] | None:
    """Errors of the draws that the verdict calls good, None where it trusts none."""
    draws = RECOMMENDED.get(run.get("verdict", ""))
    return run[draws] if draws else None


def classify(run: Mapping[str, Any]) -> str:
    """Compare the verdict of a run with the accuracy of the draws that it recommends."""
    if "failure" in run:
        return "failed"
    recommended = RECOMMENDED.get(run.get("verdict", ""))
    if recommended is not None:
        return "good, rightly" if is_accurate(run, recommended) else "good, WRONGLY"
    accurate = any(is_accurate(run, draws) for draws in GOOD if draws in run)
    return "bad, needlessly" if accurate else "bad, rightly"


def summarize(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Counts of the outcomes, in their order, as cells of a table."""
    counts = Counter(classify(run) for run in runs)
    return [str(counts[outcome] or "") for outcome in OUTCOMES]
